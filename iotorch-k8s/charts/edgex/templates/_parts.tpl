{{- define "parts" -}}
{{- $export := .Values.settings.export | default "bridge" -}}
{{- $services := .Values.settings.deviceServices | default (list "device-mqtt") -}}
postgres:
  {{- include "postgres" . | nindent 2 }}
mqtt:
  {{- include "broker" . | nindent 2 }}
keeper:
  {{- include "edgex.service" (dict "root" . "name" "keeper" "image" "core-keeper" "port" 59890) | nindent 2 }}
metadata:
  {{- include "edgex.service" (dict "root" . "name" "metadata" "image" "core-metadata" "port" 59881) | nindent 2 }}
  before:
    - {{ include "edgex.config" . | nindent 6 | trim }}
command:
  {{- include "edgex.service" (dict "root" . "name" "command" "image" "core-command" "port" 59882) | nindent 2 }}
device-mqtt:
  enabled: {{ has "device-mqtt" $services }}
  {{- include "edgex.service" (dict "root" . "name" "device-mqtt" "image" "device-mqtt" "port" 59982) | nindent 2 }}
device-rest:
  enabled: {{ has "device-rest" $services }}
  {{- include "edgex.service" (dict "root" . "name" "device-rest" "image" "device-rest" "port" 59986) | nindent 2 }}
device-coap:
  enabled: {{ has "device-coap" $services }}
  {{- $door := dict "name" "coap" "port" 5683 "protocol" "UDP" "outside" true }}
  {{- include "edgex.service" (dict "root" . "name" "device-coap" "image" "device-coap" "tag" "4.0.0" "port" 59988 "door" $door) | nindent 2 }}
app-mqtt-export:
  enabled: {{ eq $export "edgex" }}
  {{- include "edgex.service" (dict "root" . "name" "app-mqtt-export" "image" "app-service-configurable" "port" 59703) | nindent 2 }}
bridge:
  enabled: {{ eq $export "bridge" }}
  {{- include "bridge" . | nindent 2 }}
{{- end }}

{{- define "postgres" -}}
kind: store
image: { repository: postgres, tag: 16-alpine }
env:
  POSTGRES_DB: edgex_db
  POSTGRES_USER: edgex
  POSTGRES_PASSWORD: { secret: inner }
  PGDATA: /var/lib/postgresql/data/edgex
ports:
  - { name: postgres, port: 5432 }
# By the network: at its socket it answers before the database is there.
probe: { exec: [pg_isready, --quiet, --host=127.0.0.1, --username=edgex, --dbname=edgex_db] }
user: 70
data: { path: /var/lib/postgresql/data, size: 1Gi }
scratch: [/tmp, /var/run/postgresql]
resources:
  requests: { cpu: 20m, memory: 48Mi }
  limits: { memory: 256Mi }
{{- end }}

{{- define "bridge" -}}
kind: own
image: { repository: ghcr.io/iotorch/iotorch, tag: {{ .Chart.Version }} }
args:
  - gateway
  # A folder of its own in the volume, which only it can read.
  - --data-dir=/data/iotorch
  - --config=/etc/iotorch/settings.yaml
  - --management-listen=0.0.0.0
  - --management-port=8081
  # Who may reach it is up to the network of the cluster.
  - --insecure
env:
  IOTORCH_ADMIN_TOKEN: { secret: token }
  BUS_PASSWORD: { secret: inner }
  IOTORCH_BUS_CREDENTIALS: edgex:$(BUS_PASSWORD)
ports:
  - { name: bridge, port: 8081, appProtocol: http }
probe: { path: /health, port: bridge }
user: 65532
data: { path: /data, size: 256Mi }
files:
  folder: /etc/iotorch
  content:
    settings.yaml: {{ include "bridge.settings" . | fromYaml | mergeOverwrite (deepCopy .Values.bridge.settings) | toYaml | quote }}
resources:
  requests: { cpu: 20m, memory: 32Mi }
  limits: { memory: 192Mi }
{{- end }}

{{- define "bridge.settings" -}}
bus:
  endpoint: { host: {{ .Release.Name }}-mqtt, port: 1883, tls: false }
  topics: ["edgex/events/device/#"]
  format: edgex
{{- end }}

{{- /* The one pod that plays all services. */ -}}
{{- define "together" -}}
env:
  MESSAGEBUS_HOST: {{ .Release.Name }}-mqtt
  MESSAGEBUS_PORT: "1883"
  MESSAGEBUS_USERNAME: edgex
  MESSAGEBUS_PASSWORD: { secret: inner }
  MESSAGEBUS_OPTIONAL_QOS: "1"
  # What the names of its services in the cluster begin with.
  SERVICE_HOST_PREFIX: {{ .Release.Name }}-
needs: ["mqtt:1883"]
probe: { path: /api/v3/ping, port: metadata }
user: 65532
data: { path: /data, size: 1Gi }
scratch: [/tmp]
{{- end }}
