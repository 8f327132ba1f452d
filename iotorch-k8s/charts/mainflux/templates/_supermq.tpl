{{- /*
What SuperMQ 0.17 to 0.19 and Magistrala 0.20 to 0.30 have in common. They differ in how their variables begin, in their images and in their bus: "about" has
  prefix     SMQ or MG
  images     before the name of a service
  tag        of the release; that of SpiceDB is "spicedb"
  bus        the URL of the bus; its place, as "needs" has it, is "busAt"
  databases  beside those of all
  source     where the release's files are, and the digests (SHA-256) of "schema" and "permissions"
*/ -}}
{{- define "family.common" -}}
{{- $about := . }}
{{- $release := .root.Release.Name -}}
postgres:
  {{- include "postgres" (dict "databases" (concat (list "auth" "users" "domains" "groups" "channels" "clients" "spicedb") (.databases | default list))) | nindent 2 }}
redis:
  {{- include "redis" . | nindent 2 }}
spicedb:
  {{- include "spicedb" . | nindent 2 }}
auth:
  {{- include "family.service" (dict "about" . "name" "auth" "number" 1 "cache" 0) | nindent 2 }}
users:
  {{- include "family.service" (dict "about" . "name" "users" "number" 2) | nindent 2 }}
domains:
  {{- include "family.service" (dict "about" . "name" "domains" "number" 3 "cache" 1) | nindent 2 }}
groups:
  {{- include "family.service" (dict "about" . "name" "groups" "number" 4) | nindent 2 }}
channels:
  {{- include "family.service" (dict "about" . "name" "channels" "number" 5 "cache" 2) | nindent 2 }}
clients:
  {{- include "family.service" (dict "about" . "name" "clients" "number" 6 "cache" 3) | nindent 2 }}
{{- end }}

{{- /* A service with a database, an HTTP port 900N and a gRPC port 700N. */ -}}
{{- define "family.service" -}}
{{- $about := .about }}
{{- $prefix := printf "%s_%s" .about.prefix (upper .name) }}
{{- $release := .about.root.Release.Name -}}
{{ include "service" . }}
image: { repository: {{ .about.images }}{{ .name }}, tag: {{ .about.tag }} }
env:
  {{- include "family.env" .about | nindent 2 }}
  {{- include "family.database" (dict "about" .about "prefix" (printf "%s_DB" $prefix) "name" .name) | nindent 2 }}
  {{ $prefix }}_LOG_LEVEL: error
  {{ $prefix }}_HTTP_HOST: 0.0.0.0
  {{ $prefix }}_HTTP_PORT: "900{{ .number }}"
  {{ $prefix }}_GRPC_HOST: 0.0.0.0
  {{ $prefix }}_GRPC_PORT: "700{{ .number }}"
  {{- if hasKey . "cache" }}
  {{ $prefix }}_CACHE_URL: redis://{{ $release }}-redis:6379/{{ .cache }}
  {{- end }}
  {{- if eq .name "auth" }}
  {{ $prefix }}_SECRET_KEY: { secret: inner }
  {{- else if eq .name "users" }}
  {{- include "admin" .about.root | nindent 2 }}
  {{ $prefix }}_ALLOW_SELF_REGISTER: "true"
  {{ .about.prefix }}_PASSWORD_RESET_EMAIL_TEMPLATE: /etc/mainflux/email.tmpl
  {{ .about.prefix }}_VERIFICATION_EMAIL_TEMPLATE: /etc/mainflux/email.tmpl
  {{- end }}
ports:
  - { name: {{ .name }}, port: 900{{ .number }}, appProtocol: http }
  - { name: {{ .name }}-grpc, port: 700{{ .number }} }
probe: { path: /health, port: {{ .name }} }
{{- /* Those that are called at the start. */ -}}
{{- $needs := list "postgres:5432" "redis:6379" "spicedb:50051" .about.busAt }}
{{- if ne .name "auth" }}{{ $needs = append $needs "auth:7001" }}{{ end }}
{{- if not (has .name (list "auth" "domains")) }}{{ $needs = append $needs "domains:7003" }}{{ end }}
needs: {{ toJson $needs }}
{{- if eq .name "users" }}
files: { folder: /etc/mainflux, content: { email.tmpl: {{ "{{.Content}}\n" | quote }} } }
{{- else }}
{{- include "family.authorization" .about }}
{{- end }}
{{- end }}

{{- /* Where services find each other, and what they have in common. */ -}}
{{- define "family.env" -}}
{{- $about := . }}
{{- $release := .root.Release.Name -}}
{{ .prefix }}_ES_URL: {{ .bus }}
{{ .prefix }}_MESSAGE_BROKER_URL: {{ .bus }}
{{ .prefix }}_SPICEDB_HOST: {{ $release }}-spicedb
{{ .prefix }}_SPICEDB_PORT: "50051"
{{ .prefix }}_SPICEDB_PRE_SHARED_KEY: { secret: inner }
{{ .prefix }}_SPICEDB_SCHEMA_FILE: /authorization/schema.zed
{{ .prefix }}_PERMISSIONS_FILE: /authorization/permission.yaml
{{ .prefix }}_AUTH_KEYS_ALGORITHM: HS256
{{- range $number, $name := list "AUTH" "USERS" "DOMAINS" "GROUPS" "CHANNELS" "CLIENTS" }}
{{- if ne $name "USERS" }}
{{ $about.prefix }}_{{ $name }}_GRPC_URL: {{ $release }}-{{ lower $name }}:700{{ add1 $number }}
{{ $about.prefix }}_{{ $name }}_GRPC_TIMEOUT: 5s
{{- end }}
{{- end }}
{{ .prefix }}_ALLOW_UNVERIFIED_USER: "true"
{{ .prefix }}_SEND_TELEMETRY: "false"
{{ .prefix }}_JAEGER_TRACE_RATIO: "0"
{{- end }}

{{- define "family.database" -}}
{{ .prefix }}_HOST: {{ .about.root.Release.Name }}-postgres
{{ .prefix }}_PORT: "5432"
{{ .prefix }}_USER: mainflux
{{ .prefix }}_PASS: { secret: inner }
{{ .prefix }}_NAME: {{ .name }}
{{ .prefix }}_SSL_MODE: disable
{{- end }}

{{- /* The files that permissions are decided by: those of the values, or those of the release, fetched and checked. Beside them is what e-mails of rules are like. */ -}}
{{- define "family.authorization" -}}
{{- $values := .root.Values.authorization }}
{{- if and $values.schema $values.permissions }}
files:
  folder: /authorization
  content: {{ toJson (dict "schema.zed" $values.schema "permission.yaml" $values.permissions "email.tmpl" "{{.Content}}\n") }}
{{- else if or $values.schema $values.permissions }}
{{- fail "authorization.schema and authorization.permissions go together" }}
{{- else }}
scratch: [/authorization]
before:
  - name: fetch
    image: {{ toJson $values.image }}
    command: [sh, -euc]
    args:
      - |
        fetch() {
          curl --fail --silent --show-error --retry 10 --retry-all-errors --output "$2" "{{ .source }}/$1"
          echo "$3  $2" | sha256sum -c
        }
        fetch spicedb/schema.zed /authorization/schema.zed {{ .schema }}
        fetch permission.yaml /authorization/permission.yaml {{ .permissions }}
        echo '{{ "{{.Content}}" }}' > /authorization/email.tmpl
{{- end }}
{{- end }}

{{- define "spicedb" -}}
kind: store
image: { repository: authzed/spicedb, tag: {{ .spicedb }} }
args: [serve]
env: &spicedb
  PASSWORD: { secret: inner }
  SPICEDB_GRPC_PRESHARED_KEY: { secret: inner }
  SPICEDB_DATASTORE_ENGINE: postgres
  SPICEDB_DATASTORE_CONN_URI: postgres://mainflux:$(PASSWORD)@{{ .root.Release.Name }}-postgres:5432/spicedb?sslmode=disable
  SPICEDB_TELEMETRY_ENDPOINT: ""
ports:
  - { name: spicedb, port: 50051 }
probe: { port: spicedb }
user: 65532
needs: ["postgres:5432"]
before:
  - name: migrate
    args: [migrate, head]
    env: *spicedb
scratch: [/tmp]
resources:
  requests: { cpu: 20m, memory: 96Mi }
  limits: { memory: 384Mi }
{{- end }}

{{- define "parts.supermq-0.19" -}}
{{- $release := .Release.Name }}
{{- $about := dict "root" . "prefix" "SMQ" "images" "supermq/" "tag" "v0.19.1" "spicedb" "v1.37.0" "bus" (printf "nats://%s-nats:4222" $release) "busAt" "nats:4222"
  "source" "https://raw.githubusercontent.com/absmach/supermq/v0.19.1/docker"
  "schema" "7b2c495a9937d9b773a0a447913980d9f849e01eacc35edfd79dfc2f94e9ef17"
  "permissions" "901c11e6162f5d954659f3f368305b5b1823a7d419b17ef13b1707fe66765866" -}}
{{ include "family.common" $about }}
nats:
  {{- include "nats" . | nindent 2 }}
broker:
  {{- include "broker" . | nindent 2 }}
http:
  {{- include "service" . | nindent 2 }}
  image: { repository: supermq/http, tag: v0.19.1 }
  env:
    {{- include "family.env" $about | nindent 4 }}
    SMQ_HTTP_ADAPTER_LOG_LEVEL: error
    SMQ_HTTP_ADAPTER_HOST: 0.0.0.0
    SMQ_HTTP_ADAPTER_PORT: "8008"
  ports:
    - { name: http, port: 8008, appProtocol: http }
  probe: { path: /health, port: http }
  needs: ["nats:4222", "auth:7001", "domains:7003"]
mqtt:
  {{- include "service" . | nindent 2 }}
  image: { repository: supermq/mqtt, tag: v0.19.1 }
  env:
    {{- include "family.env" $about | nindent 4 }}
    SMQ_MQTT_ADAPTER_LOG_LEVEL: error
    SMQ_MQTT_ADAPTER_MQTT_PORT: "1883"
    SMQ_MQTT_ADAPTER_MQTT_TARGET_HOST: {{ $release }}-broker
    SMQ_MQTT_ADAPTER_MQTT_TARGET_PORT: "1883"
  ports:
    - { name: mqtt, port: 1883, appProtocol: mqtt, outside: true }
  probe: { port: mqtt }
  needs: ["nats:4222", "broker:1883", "domains:7003"]
{{- end }}
