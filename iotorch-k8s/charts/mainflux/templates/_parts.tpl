{{- /* What the settings call 0.12.1 or mainflux-0.12. */ -}}
{{- define "release" -}}
{{- $asked := .Values.settings.release | default "0.12" | trimPrefix "v" -}}
{{- $found := $asked -}}
{{- range list "mainflux-0.12" "supermq-0.19" "magistrala-0.30" -}}
{{- if hasPrefix (splitList "-" . | last) $asked }}{{ $found = . }}{{ end -}}
{{- end -}}
{{- $found -}}
{{- end }}

{{- /* How the variables of its services begin. */ -}}
{{- define "prefix" -}}
{{- get (dict "mainflux-0.12" "MF" "supermq-0.19" "SMQ" "magistrala-0.30" "MG") (include "release" .) -}}
{{- end }}

{{- /* Who administers it, as the service "users" is told. */ -}}
{{- define "admin" -}}
{{- $prefix := include "prefix" . }}
{{- $email := .Values.admin.email }}
{{- $name := .Values.admin.userName }}
{{- with .Values.settings.adminUser }}
{{- if contains "@" . }}{{ $email = . }}{{ else }}{{ $name = . }}{{ end }}
{{- end -}}
{{ $prefix }}_USERS_ADMIN_EMAIL: {{ $email }}
{{ $prefix }}_USERS_ADMIN_USERNAME: {{ $name }}
{{ $prefix }}_USERS_ADMIN_PASSWORD: { secret: token }
{{- end }}

{{- define "parts" -}}
{{ include (printf "parts.%s" (include "release" .)) . }}
{{- end }}

{{- /* What every service is like; "image", "port" and more is said by it. */ -}}
{{- define "service" -}}
kind: service
user: 65532
resources:
  requests: { cpu: 10m, memory: 24Mi }
  limits: { memory: 128Mi }
{{- end }}

{{- /* One server with a database for each service. */ -}}
{{- define "postgres" -}}
kind: store
image: { repository: postgres, tag: 16-alpine }
# The clock of commits is what SpiceDB asks for.
args: [postgres, -c, max_connections=200, -c, track_commit_timestamp=on]
env:
  POSTGRES_DB: messages
  POSTGRES_USER: mainflux
  POSTGRES_PASSWORD: { secret: inner }
  PGDATA: /var/lib/postgresql/data/mainflux
ports:
  - { name: postgres, port: 5432 }
# By the network: at its socket it answers before the databases are there.
probe: { exec: [pg_isready, --quiet, --host=127.0.0.1, --username=mainflux, --dbname=messages] }
user: 70
data: { path: /var/lib/postgresql/data, size: 2Gi }
scratch: [/tmp, /var/run/postgresql]
files:
  folder: /docker-entrypoint-initdb.d
  content:
    databases.sql: {{ printf "CREATE DATABASE %s;\n" (join ";\nCREATE DATABASE " .databases) | quote }}
resources:
  requests: { cpu: 50m, memory: 64Mi }
  limits: { memory: 512Mi }
{{- end }}

{{- define "redis" -}}
kind: store
image: { repository: redis, tag: 7-alpine }
args: [redis-server, --dir, /data, --appendonly, "yes"]
ports:
  - { name: redis, port: 6379 }
probe: { port: redis }
user: 999
data: { path: /data, size: 256Mi }
resources:
  requests: { cpu: 10m, memory: 16Mi }
  limits: { memory: 128Mi }
{{- end }}

{{- define "nats" -}}
kind: store
image: { repository: nats, tag: 2.12-alpine }
args: [--jetstream, --store_dir=/data, --http_port=8222]
ports:
  - { name: nats, port: 4222 }
  - { name: nats-health, port: 8222 }
probe: { path: /healthz, port: nats-health }
user: 65532
data: { path: /data, size: 1Gi }
resources:
  requests: { cpu: 10m, memory: 24Mi }
  limits: { memory: 256Mi }
{{- end }}

{{- /* What the MQTT adapter stands before. It asks nobody who he is: only pods of the namespace reach it. */ -}}
{{- define "broker" -}}
kind: store
image: { repository: eclipse-mosquitto, tag: 2.0.22 }
command: [/usr/sbin/mosquitto, -c, /etc/mosquitto/mosquitto.conf]
ports:
  - { name: broker, port: 1883 }
probe: { port: broker }
user: 1883
data: { path: /mosquitto/data, size: 256Mi }
files:
  folder: /etc/mosquitto
  content:
    mosquitto.conf: "listener 1883\nallow_anonymous true\nset_tcp_nodelay true\npersistence true\npersistence_location /mosquitto/data/\nlog_dest stdout\n"
resources:
  requests: { cpu: 10m, memory: 16Mi }
  limits: { memory: 128Mi }
{{- end }}

{{- /* The one pod that plays all services. */ -}}
{{- define "together" -}}
env:
  RELEASE: {{ include "release" . }}
  {{- include "admin" . | nindent 2 }}
probe: { port: users }
user: 65532
data: { path: /data, size: 2Gi }
scratch: [/tmp]
{{- end }}
