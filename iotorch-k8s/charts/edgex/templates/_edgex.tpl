{{- /* A service of EdgeX: its image, its port under its name, and what it is told. */ -}}
{{- define "edgex.service" -}}
{{- $release := .root.Release.Name -}}
kind: service
image: { repository: edgexfoundry/{{ .image }}, tag: {{ .tag | default .root.Chart.AppVersion }} }
{{- if ne .name "keeper" }}
args: ["-cp=keeper.http://{{ $release }}-keeper:59890", --registry]
{{- end }}
env:
  {{- include "edgex.env" . | nindent 2 }}
  SERVICE_HOST: {{ $release }}-{{ .name }}
  {{- with include (printf "edgex.env.%s" .name) .root | trim }}
  {{- . | nindent 2 }}
  {{- end }}
ports:
  - { name: {{ .name }}, port: {{ .port }}, appProtocol: http }
  {{- with .door }}
  - {{ toJson . }}
  {{- end }}
probe: { path: /api/v3/ping, port: {{ .name }} }
user: 2002
scratch: [/tmp]
resources:
  requests: { cpu: 10m, memory: 24Mi }
  limits: { memory: 128Mi }
{{- end }}

{{- /* Security is that of the namespace: nobody but its pods reaches these services. */ -}}
{{- define "edgex.env" -}}
EDGEX_SECURITY_SECRET_STORE: "false"
# In seconds: what it needs may have to be fetched before.
EDGEX_STARTUP_DURATION: "600"
{{- end }}

{{- /* What the chart says goes before what the keeper has from before. */ -}}
{{- define "edgex.overwrite" -}}
EDGEX_OVERWRITE_CONFIG: "true"
{{- end }}

{{- /* The user of services at the database and at the bus: of secrets, EdgeX knows one called "postgres" everywhere, and none for the bus. */ -}}
{{- define "edgex.user" -}}
{{ . }}WRITABLE_INSECURESECRETS_DB_SECRETDATA_USERNAME: edgex
{{ . }}WRITABLE_INSECURESECRETS_DB_SECRETDATA_PASSWORD: { secret: inner }
{{ . }}MESSAGEBUS_AUTHMODE: usernamepassword
{{ . }}MESSAGEBUS_SECRETNAME: postgres
# What is said while a subscriber is away waits at the broker.
{{ . }}MESSAGEBUS_OPTIONAL_QOS: "1"
{{ . }}SERVICE_SERVERBINDADDR: 0.0.0.0
{{- end }}

{{- /* What all services are told by way of the keeper. */ -}}
{{- define "edgex.config" -}}
{{- $release := .Release.Name -}}
name: config
image: { repository: edgexfoundry/core-common-config-bootstrapper, tag: {{ .Chart.AppVersion }} }
command: [/core-common-config-bootstrapper]
args: ["-cp=keeper.http://{{ $release }}-keeper:59890"]
env:
  {{- include "edgex.env" . | nindent 2 }}
  {{- include "edgex.overwrite" . | nindent 2 }}
  {{- include "edgex.user" "ALL_SERVICES_" | nindent 2 }}
  ALL_SERVICES_DATABASE_HOST: {{ $release }}-postgres
  ALL_SERVICES_MESSAGEBUS_HOST: {{ $release }}-mqtt
  ALL_SERVICES_REGISTRY_HOST: {{ $release }}-keeper
  APP_SERVICES_CLIENTS_CORE_METADATA_HOST: {{ $release }}-metadata
  DEVICE_SERVICES_CLIENTS_CORE_METADATA_HOST: {{ $release }}-metadata
  DEVICE_SERVICES_DEVICE_PROFILESDIR: ""
  DEVICE_SERVICES_DEVICE_DEVICESDIR: ""
{{- end }}

{{- define "edgex.env.keeper" -}}
{{ include "edgex.user" "" }}
DATABASE_HOST: {{ .Release.Name }}-postgres
MESSAGEBUS_HOST: {{ .Release.Name }}-mqtt
{{- end }}

{{- define "edgex.env.metadata" -}}
{{ include "edgex.overwrite" . }}
{{- end }}

{{- define "edgex.env.command" -}}
{{ include "edgex.overwrite" . }}
CLIENTS_CORE_METADATA_HOST: {{ .Release.Name }}-metadata
{{- end }}

{{- /* The samples in the images of device services are nobody's devices. */ -}}
{{- define "edgex.env.device-rest" -}}
{{ include "edgex.overwrite" . }}
DEVICE_PROFILESDIR: ""
DEVICE_DEVICESDIR: ""
{{- end }}

{{- define "edgex.env.device-coap" -}}
{{ include "edgex.env.device-rest" . }}
{{- end }}

{{- define "edgex.env.device-mqtt" -}}
{{ include "edgex.env.device-rest" . }}
MQTTBROKERINFO_HOST: {{ .Release.Name }}-mqtt
# The broker would end its session at the bus for one of the same name.
MQTTBROKERINFO_CLIENTID: device-mqtt-devices
MQTTBROKERINFO_QOS: "1"
MQTTBROKERINFO_AUTHMODE: usernamepassword
WRITABLE_INSECURESECRETS_MQTT_SECRETDATA_USERNAME: edgex
WRITABLE_INSECURESECRETS_MQTT_SECRETDATA_PASSWORD: { secret: inner }
{{- end }}

{{- /* What it exports is configured in the keeper, and stays. */ -}}
{{- define "edgex.env.app-mqtt-export" -}}
EDGEX_PROFILE: mqtt-export
# An export whose broker is away would keep it from starting for a minute.
WRITABLE_PIPELINE_FUNCTIONS_MQTTEXPORT_PARAMETERS_PRECONNECT: "false"
{{- end }}
