{{- /* The broker of devices and of the bus. Who may do what at it is kept by its plug-in, and made by whoever manages the gateway. */ -}}
{{- define "broker" -}}
kind: own
image: { repository: eclipse-mosquitto, tag: 2.0.22 }
command: [/usr/sbin/mosquitto, -c, /etc/mosquitto/mosquitto.conf]
before:
  - name: users
    command: [sh, /etc/mosquitto/users.sh]
    env:
      ADMIN_PASSWORD: { secret: token }
      EDGEX_PASSWORD: { secret: inner }
ports:
  - { name: mqtt, port: 1883, appProtocol: mqtt, outside: true }
probe: { port: mqtt }
user: 1883
data: { path: /mosquitto/data, size: 256Mi }
scratch: [/tmp]
files:
  folder: /etc/mosquitto
  content:
    mosquitto.conf: {{ include "broker.config" . | quote }}
    users.sh: {{ include "broker.users" . | quote }}
resources:
  requests: { cpu: 10m, memory: 16Mi }
  limits: { memory: 128Mi }
{{- end }}

{{- define "broker.config" -}}
listener 1883
allow_anonymous false
plugin /usr/lib/mosquitto_dynamic_security.so
plugin_opt_config_file /mosquitto/data/users.json
# Otherwise each device that is added costs 44 ms.
set_tcp_nodelay true
persistence true
persistence_location /mosquitto/data/
autosave_interval 30
# What waits for the bridge while it is away.
max_queued_messages 100000
log_dest stdout
{{ end }}

{{- /* Makes the first two users: the plug-in's admin, and the one of EdgeX's services, which may say and hear all but "$CONTROL/#". */ -}}
{{- define "broker.users" -}}
set -eu
umask 077
users=/mosquitto/data/users.json
if [ -e "$users" ]; then exit 0; fi
# The password by standard input, where no list of processes has it; the program hashes it into a file of its own.
hashed() {
  printf '%s\n%s\n' "$2" "$2" | mosquitto_ctrl dynsec init "/tmp/$1.json" "$1" > /tmp/told
  sed -n '/"password":/,/"iterations":/p' "/tmp/$1.json"
}
acl() {
  printf '{"acltype": "%s", "topic": "%s", "allow": true}' "$1" "$2"
}
may() {
  printf '{"rolename": "%s", "acls": [%s,\n%s,\n%s,\n%s]}' "$1" "$(acl publishClientSend "$2")" \
    "$(acl publishClientReceive "$2")" "$(acl subscribePattern "$2")" "$(acl unsubscribePattern '#')"
}
admin=$(hashed admin "$ADMIN_PASSWORD")
edgex=$(hashed edgex "$EDGEX_PASSWORD")
cat > "$users.new" <<END
{
"clients": [
{"username": "admin", $admin
"roles": [{"rolename": "admin"}]},
{"username": "edgex", $edgex
"roles": [{"rolename": "edgex"}]}
],
"roles": [
$(may admin '$CONTROL/dynamic-security/#'),
$(may edgex '#')
],
"defaultACLAccess": {"publishClientSend": false, "publishClientReceive": true, "subscribe": false, "unsubscribe": true}
}
END
mv "$users.new" "$users"
{{ end }}
