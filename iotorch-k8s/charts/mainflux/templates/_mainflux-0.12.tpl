{{- define "parts.mainflux-0.12" -}}
{{- $release := .Release.Name -}}
postgres:
  {{- include "postgres" (dict "databases" (list "auth" "users" "things")) | nindent 2 }}
redis:
  {{- include "redis" . | nindent 2 }}
nats:
  {{- include "nats" . | nindent 2 }}
broker:
  {{- include "broker" . | nindent 2 }}
auth:
  {{- include "mainflux.service" "auth" | nindent 2 }}
  env:
    {{- include "mainflux.database" (dict "root" . "prefix" "AUTH" "name" "auth") | nindent 4 }}
    MF_AUTH_HTTP_PORT: "8189"
    MF_AUTH_GRPC_PORT: "8181"
    MF_AUTH_SECRET: { secret: inner }
  ports:
    - { name: auth, port: 8189, appProtocol: http }
    - { name: auth-grpc, port: 8181 }
  probe: { path: /version, port: auth }
  needs: ["postgres:5432"]
users:
  {{- include "mainflux.service" "users" | nindent 2 }}
  env:
    {{- include "mainflux.database" (dict "root" . "prefix" "USERS" "name" "users") | nindent 4 }}
    MF_USERS_HTTP_PORT: "8180"
    {{- include "admin" . | nindent 4 }}
    MF_EMAIL_TEMPLATE: /etc/mainflux/email.tmpl
    MF_AUTH_GRPC_URL: {{ $release }}-auth:8181
  ports:
    - { name: users, port: 8180, appProtocol: http }
  probe: { path: /version, port: users }
  needs: ["postgres:5432", "auth:8181"]
  files: { folder: /etc/mainflux, content: { email.tmpl: {{ "{{.Content}}\n" | quote }} } }
things:
  {{- include "mainflux.service" "things" | nindent 2 }}
  env:
    {{- include "mainflux.database" (dict "root" . "prefix" "THINGS" "name" "things") | nindent 4 }}
    MF_THINGS_HTTP_PORT: "8182"
    MF_THINGS_AUTH_HTTP_PORT: "8989"
    MF_THINGS_AUTH_GRPC_PORT: "8183"
    MF_THINGS_CACHE_URL: {{ $release }}-redis:6379
    MF_THINGS_ES_URL: {{ $release }}-redis:6379
    MF_AUTH_GRPC_URL: {{ $release }}-auth:8181
  ports:
    - { name: things, port: 8182, appProtocol: http }
    - { name: things-auth, port: 8989, appProtocol: http }
    - { name: things-grpc, port: 8183 }
  probe: { path: /version, port: things }
  needs: ["postgres:5432", "redis:6379", "auth:8181"]
http:
  {{- include "mainflux.service" "http" | nindent 2 }}
  env:
    MF_HTTP_ADAPTER_LOG_LEVEL: error
    MF_HTTP_ADAPTER_PORT: "8185"
    {{- include "mainflux.bus" . | nindent 4 }}
  ports:
    - { name: http, port: 8185, appProtocol: http }
  probe: { path: /version, port: http }
  needs: ["nats:4222", "things:8183"]
mqtt:
  {{- include "mainflux.service" "mqtt" | nindent 2 }}
  env:
    MF_MQTT_ADAPTER_LOG_LEVEL: error
    MF_MQTT_ADAPTER_MQTT_PORT: "1883"
    MF_MQTT_ADAPTER_MQTT_TARGET_HOST: {{ $release }}-broker
    MF_MQTT_ADAPTER_MQTT_TARGET_PORT: "1883"
    MF_MQTT_ADAPTER_ES_URL: {{ $release }}-redis:6379
    MF_AUTH_CACHE_URL: {{ $release }}-redis:6379
    {{- include "mainflux.bus" . | nindent 4 }}
  ports:
    - { name: mqtt, port: 1883, appProtocol: mqtt, outside: true }
  probe: { port: mqtt }
  needs: ["nats:4222", "broker:1883", "redis:6379", "things:8183"]
writer:
  {{- include "mainflux.service" "postgres-writer" | nindent 2 }}
  env:
    {{- include "mainflux.database" (dict "root" . "prefix" "POSTGRES_WRITER" "name" "messages") | nindent 4 }}
    MF_POSTGRES_WRITER_PORT: "9007"
    MF_POSTGRES_WRITER_CONFIG_PATH: /etc/mainflux/config.toml
    MF_POSTGRES_WRITER_TRANSFORMER: senml
    {{- include "mainflux.bus" . | nindent 4 }}
  ports:
    - { name: writer, port: 9007, appProtocol: http }
  probe: { path: /version, port: writer }
  needs: ["postgres:5432", "nats:4222"]
  files: { folder: /etc/mainflux, content: { config.toml: "[subjects]\nfilter = [\"channels.>\"]\n" } }
reader:
  {{- include "mainflux.service" "postgres-reader" | nindent 2 }}
  env:
    {{- include "mainflux.database" (dict "root" . "prefix" "POSTGRES_READER" "name" "messages") | nindent 4 }}
    MF_POSTGRES_READER_PORT: "9009"
    {{- include "mainflux.bus" . | nindent 4 }}
  ports:
    - { name: reader, port: 9009, appProtocol: http }
  probe: { path: /version, port: reader }
  needs: ["postgres:5432", "things:8183"]
{{- end }}

{{- define "mainflux.service" -}}
{{ include "service" . }}
image: { repository: mainflux/{{ . }}, tag: 0.12.1 }
{{- end }}

{{- define "mainflux.database" -}}
MF_{{ .prefix }}_LOG_LEVEL: error
MF_{{ .prefix }}_DB_HOST: {{ .root.Release.Name }}-postgres
MF_{{ .prefix }}_DB_PORT: "5432"
MF_{{ .prefix }}_DB_USER: mainflux
MF_{{ .prefix }}_DB_PASS: { secret: inner }
MF_{{ .prefix }}_DB: {{ .name }}
{{- end }}

{{- define "mainflux.bus" -}}
MF_NATS_URL: nats://{{ .Release.Name }}-nats:4222
MF_THINGS_AUTH_GRPC_URL: {{ .Release.Name }}-things:8183
{{- end }}
