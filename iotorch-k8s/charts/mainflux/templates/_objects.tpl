{{- /* What a part is made of: its pod, its files and what it keeps. */ -}}
{{- define "part.objects" -}}
---
{{ include "part.statefulset" . }}
{{- with .part.files }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ $.root.Release.Name }}-{{ $.name }}
  labels: {{- include "part.labels" (dict "root" $.root "component" $.name) | nindent 4 }}
data: {{- toYaml .content | nindent 2 }}
{{- end }}
{{- if and .part.data .root.Values.persistence.enabled }}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {{ .root.Release.Name }}-{{ .name }}
  labels: {{- include "part.labels" (dict "root" .root "component" .name) | nindent 4 }}
spec:
  accessModes: [ReadWriteOnce]
  {{- with .root.Values.persistence.storageClass }}
  storageClassName: {{ . }}
  {{- end }}
  resources:
    requests:
      storage: {{ .part.data.size }}
{{- end }}
{{- end }}
