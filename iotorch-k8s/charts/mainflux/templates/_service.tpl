{{- /* The Services of a part: one for those within the namespace, and one for those outside. */ -}}
{{- define "part.services" -}}
{{- $inner := list }}
{{- $outer := list }}
{{- range .part.ports }}
{{- if .outside }}{{ $outer = append $outer . }}{{ else }}{{ $inner = append $inner . }}{{ end }}
{{- end }}
{{- $full := printf "%s-%s" .root.Release.Name .name }}
{{- $own := (.part.service | default dict).type | default "ClusterIP" }}
{{- $about := dict "root" .root "name" .name "component" .component }}
{{- with $inner }}
{{ include "part.service" (merge (dict "full" $full "type" $own "ports" .) $about) }}
{{- end }}
{{- with $outer }}
{{- $called := ternary (printf "%s-data" $full) $full (gt (len $inner) 0) }}
{{- $service := $.root.Values.service }}
{{ include "part.service" (merge (dict "full" $called "type" $service.type "ports" . "annotations" $service.annotations) $about) }}
{{- end }}
{{- end }}

{{- define "part.service" -}}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ .full }}
  labels: {{- include "part.labels" (dict "root" .root "component" .name) | nindent 4 }}
  {{- with .annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  type: {{ .type }}
  selector: {{- include "part.selector" (dict "root" .root "component" .component) | nindent 4 }}
  # There is one pod, and it says itself why it takes nothing. So it is reached as soon as it listens, and not up to a second after
  # it is called ready, when the network of the cluster has heard of it.
  publishNotReadyAddresses: true
  ports:
    {{- range .ports }}
    - name: {{ .name }}
      port: {{ .port | int }}
      protocol: {{ .protocol | default "TCP" }}
      targetPort: {{ .name }}
      {{- with .appProtocol }}
      appProtocol: {{ . }}
      {{- end }}
    {{- end }}
{{- end }}
