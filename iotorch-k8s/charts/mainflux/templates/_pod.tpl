{{- define "part.waits" -}}
{{- $there := list -}}
{{- range .part.needs -}}
{{- $needed := index (splitList ":" .) 0 -}}
{{- if (index $.parts $needed).enabled }}{{ $there = append $there (printf "%s-%s" $.root.Release.Name .) }}{{ end -}}
{{- end -}}
{{- with $there }}
# It would die again and again, until it is taken for broken.
- name: wait
  {{- include "part.image" (dict "root" $.root "image" $.root.Values.wait.image) | nindent 2 }}
  command: [sh, -c]
  args:
    - for at in "$@"; do until nc -w 2 "${at%:*}" "${at##*:}" -e true; do sleep 1; done; done
    - wait
    {{- range . }}
    - {{ . | quote }}
    {{- end }}
  resources:
    requests: { cpu: 1m, memory: 4Mi }
    limits: { memory: 16Mi }
  {{- include "part.security" . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "part.statefulset" -}}
{{- $root := .root }}
{{- $part := .part }}
{{- $full := printf "%s-%s" $root.Release.Name .name }}
{{- $about := dict "root" $root "component" .name -}}
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: {{ $full }}
  labels: {{- include "part.labels" $about | nindent 4 }}
spec:
  # What it keeps belongs to one process at a time.
  replicas: 1
  serviceName: {{ $full }}
  # Parts need each other, whatever their order.
  podManagementPolicy: Parallel
  selector:
    matchLabels: {{- include "part.selector" $about | nindent 6 }}
  template:
    metadata:
      labels: {{- include "part.labels" $about | nindent 8 }}
      {{- if or $part.files $root.Values.podAnnotations }}
      annotations:
        {{- with $part.files }}
        checksum/files: {{ toYaml . | sha256sum }}
        {{- end }}
        {{- with $root.Values.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- end }}
    spec:
      automountServiceAccountToken: false
      # The variables of services would be taken for settings.
      enableServiceLinks: false
      terminationGracePeriodSeconds: 15
      securityContext:
        runAsNonRoot: true
        runAsUser: {{ $part.user | int }}
        runAsGroup: {{ $part.user | int }}
        fsGroup: {{ $part.user | int }}
        seccompProfile:
          type: RuntimeDefault
      {{- with $root.Values.imagePullSecrets }}
      imagePullSecrets: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- $waits := include "part.waits" . }}
      {{- if or (trim $waits) $part.before }}
      initContainers:
        {{- with trim $waits }}
        {{- . | nindent 8 }}
        {{- end }}
        {{- range $part.before }}
        - name: {{ .name }}
          {{- $given := (get $root.Values.components .name | default dict).image | default dict }}
          {{- $image := mergeOverwrite (dict) (.image | default $part.image) $given }}
          {{- include "part.image" (dict "root" $root "image" $image) | nindent 10 }}
          {{- with .command }}
          command: {{- toYaml . | nindent 12 }}
          {{- end }}
          {{- with .args }}
          args: {{- toYaml . | nindent 12 }}
          {{- end }}
          {{- with .env }}
          env: {{- include "part.env" (dict "root" $root "env" .) | trim | nindent 12 }}
          {{- end }}
          resources: {{- toYaml $part.resources | nindent 12 }}
          {{- include "part.security" . | nindent 10 }}
          {{- with include "part.mounts" $part | trim }}
          volumeMounts: {{- . | nindent 12 }}
          {{- end }}
        {{- end }}
      {{- end }}
      containers:
        - name: {{ .name }}
          {{- include "part.image" (dict "root" $root "image" $part.image) | nindent 10 }}
          {{- with $part.command }}
          command: {{- toYaml . | nindent 12 }}
          {{- end }}
          {{- with $part.args }}
          args: {{- toYaml . | nindent 12 }}
          {{- end }}
          {{- with $part.env }}
          env: {{- include "part.env" (dict "root" $root "env" .) | trim | nindent 12 }}
          {{- end }}
          {{- with $part.ports }}
          ports:
            {{- range . }}
            - name: {{ .name }}
              containerPort: {{ .port | int }}
              protocol: {{ .protocol | default "TCP" }}
            {{- end }}
          {{- end }}
          {{- with $part.probe }}
          # What it needs may have to be fetched before.
          startupProbe:
            {{- include "part.probe" . | trim | nindent 12 }}
            periodSeconds: 1
            timeoutSeconds: 5
            failureThreshold: 600
          readinessProbe:
            {{- include "part.probe" . | trim | nindent 12 }}
            periodSeconds: 5
            timeoutSeconds: 5
            failureThreshold: 2
          livenessProbe:
            {{- include "part.probe" . | trim | nindent 12 }}
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 6
          {{- end }}
          resources: {{- toYaml $part.resources | nindent 12 }}
          {{- include "part.security" . | nindent 10 }}
          {{- with include "part.mounts" $part | trim }}
          volumeMounts: {{- . | nindent 12 }}
          {{- end }}
      {{- if or $part.data $part.files $part.scratch }}
      volumes:
        {{- if $part.data }}
        - name: data
          {{- if $root.Values.persistence.enabled }}
          persistentVolumeClaim:
            claimName: {{ $full }}
          {{- else }}
          emptyDir: {}
          {{- end }}
        {{- end }}
        {{- if $part.files }}
        - name: files
          configMap:
            name: {{ $full }}
        {{- end }}
        {{- range $number, $path := $part.scratch }}
        - name: scratch-{{ $number }}
          emptyDir: {}
        {{- end }}
      {{- end }}
      {{- with $root.Values.nodeSelector }}
      nodeSelector: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $root.Values.tolerations }}
      tolerations: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $root.Values.affinity }}
      affinity: {{- toYaml . | nindent 8 }}
      {{- end }}
{{- end }}
