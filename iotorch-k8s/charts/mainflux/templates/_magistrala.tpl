{{- define "parts.magistrala-0.30" -}}
{{- $release := .Release.Name }}
{{- $about := dict "root" . "prefix" "MG" "images" "ghcr.io/absmach/magistrala/" "tag" "v0.30.0" "spicedb" "v1.50.0"
  "bus" (printf "amqp://guest:guest@%s-mqtt:5682/" $release) "busAt" "mqtt:5682" "databases" (list "rules")
  "source" "https://raw.githubusercontent.com/absmach/magistrala/v0.30.0/docker"
  "schema" "d114a826ba9600c0f8f426638619f952cc277a84ed1fb2a8a58b76392c7fabb7"
  "permissions" "71308ad8aa0f59da8039e11059f5eb1fbf919fc6200ec3ff41138615a880b4d9" -}}
{{ include "family.common" $about }}
mqtt:
  {{- include "fluxmq" . | nindent 2 }}
# Tells the broker who may do what.
fluxmq-auth:
  {{- include "service" . | nindent 2 }}
  image: { repository: ghcr.io/absmach/magistrala/fluxmq, tag: v0.30.0 }
  env:
    {{- include "family.env" $about | nindent 4 }}
    MG_FLUXMQ_LOG_LEVEL: error
    MG_FLUXMQ_GRPC_HOST: 0.0.0.0
    MG_FLUXMQ_GRPC_PORT: "7016"
  ports:
    - { name: fluxmq-auth, port: 7016 }
  probe: { port: fluxmq-auth }
  needs: ["domains:7003"]
# What has messages stored.
rules:
  {{- include "service" . | nindent 2 }}
  image: { repository: ghcr.io/absmach/magistrala/re, tag: v0.30.0 }
  env:
    {{- include "family.env" $about | nindent 4 }}
    {{- include "family.database" (dict "about" $about "prefix" "MG_RE_DB" "name" "rules") | nindent 4 }}
    MG_RE_LOG_LEVEL: error
    MG_RE_HTTP_HOST: 0.0.0.0
    MG_RE_HTTP_PORT: "9008"
    MG_RE_CACHE_URL: redis://{{ $release }}-redis:6379/4
    MG_TIMESCALE_READER_GRPC_URL: {{ $release }}-reader:7009
    MG_EMAIL_TEMPLATE: /authorization/email.tmpl
  ports:
    - { name: rules, port: 9008, appProtocol: http }
  probe: { path: /health, port: rules }
  needs: ["postgres:5432", "redis:6379", "mqtt:5682", "auth:7001", "domains:7003"]
  {{- include "family.authorization" $about | nindent 2 }}
writer:
  {{- include "service" . | nindent 2 }}
  image: { repository: ghcr.io/absmach/magistrala/postgres-writer, tag: v0.30.0 }
  env:
    {{- include "family.env" $about | nindent 4 }}
    {{- include "family.database" (dict "about" $about "prefix" "MG_POSTGRES" "name" "messages") | nindent 4 }}
    MG_POSTGRES_WRITER_LOG_LEVEL: error
    MG_POSTGRES_WRITER_CONFIG_PATH: /etc/mainflux/config.toml
    MG_POSTGRES_WRITER_HTTP_HOST: 0.0.0.0
    MG_POSTGRES_WRITER_HTTP_PORT: "9007"
  ports:
    - { name: writer, port: 9007, appProtocol: http }
  probe: { path: /health, port: writer }
  needs: ["postgres:5432", "mqtt:5682"]
  files:
    folder: /etc/mainflux
    content:
      config.toml: "[subscriber]\ntopics = [\"writers/#\"]\n[transformer]\nformat = \"senml\"\ncontent_type = \"application/senml+json\"\n"
reader:
  {{- include "service" . | nindent 2 }}
  image: { repository: ghcr.io/absmach/magistrala/postgres-reader, tag: v0.30.0 }
  env:
    {{- include "family.env" $about | nindent 4 }}
    {{- include "family.database" (dict "about" $about "prefix" "MG_POSTGRES" "name" "messages") | nindent 4 }}
    MG_POSTGRES_READER_LOG_LEVEL: error
    MG_POSTGRES_READER_HTTP_HOST: 0.0.0.0
    MG_POSTGRES_READER_HTTP_PORT: "9009"
    MG_POSTGRES_READER_GRPC_HOST: 0.0.0.0
    MG_POSTGRES_READER_GRPC_PORT: "7009"
  ports:
    - { name: reader, port: 9009, appProtocol: http }
    - { name: reader-grpc, port: 7009 }
  probe: { path: /health, port: reader }
  needs: ["postgres:5432", "auth:7001"]
{{- end }}

{{- /* The broker of clients, which is the bus of services too. */ -}}
{{- define "fluxmq" -}}
{{ include "service" . }}
image: { repository: ghcr.io/absmach/fluxmq, tag: v0.30.0 }
args: [-config, /etc/fluxmq/config.yaml]
ports:
  - { name: mqtt, port: 1883, appProtocol: mqtt, outside: true }
  - { name: http, port: 8008, appProtocol: http }
  - { name: bus, port: 5682 }
  - { name: broker-health, port: 8081 }
probe: { path: /health, port: broker-health }
data: { path: /data, size: 1Gi }
scratch: [/tmp]
files:
  folder: /etc/fluxmq
  content:
    config.yaml: {{ include "fluxmq.config" . | quote }}
{{- end }}

{{- define "fluxmq.config" -}}
server:
  tcp:
    v3: { addr: "0.0.0.0:1883", protocol: v3 }
  http:
    plain: { addr: "0.0.0.0:8008" }
  amqp091:
    plain: { addr: "0.0.0.0:5682" }
  health_addr: "0.0.0.0:8081"
  health_enabled: true
storage:
  type: badger
  badger_dir: /data/fluxmq
  # A message is acknowledged when it lies on disk.
  sync_writes: true
cluster:
  enabled: false
  node_id: node1
queues:
  - { name: mqtt, topics: ["$queue/#"], reserved: true }
  - { name: events, topics: ["$queue/events/#"], type: stream, retention: { max_age: 168h } }
  - { name: writers, topics: ["$queue/writers/#"], type: stream, retention: { max_age: 24h } }
  - { name: alarms, topics: ["$queue/alarms/#"], type: stream, retention: { max_age: 24h } }
  - { name: m, topics: ["m/#"], type: stream, retention: { max_age: 24h } }
auth:
  url: http://{{ .Release.Name }}-fluxmq-auth:7016
  transport: grpc
  timeout: 15s
  protocols: { mqtt: true, http: true, amqp091: false }
log: { level: warn, format: text }
{{- end }}
