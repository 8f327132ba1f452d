{{- /*
A chart lists its parts in the template "parts": a map, by names, of
  image      { repository, tag }
  command, args, env    what is started; the value of a variable is a text, or { secret: KEY } of the Secret
  ports      a list of { name, port, protocol, appProtocol, outside }; those outside are for devices and other clusters
  probe      { path, port }, { port } or { exec }: what tells that it works
  needs      a list of "PART:PORT" that it dies without
  before     a list of containers that do something before it starts, with its volumes; values set their images by their names
  user       the numbers of user and group that it runs as
  data       { path, size }: what is kept
  scratch    folders that it writes to
  files      { folder, content: { NAME: TEXT } }
  resources
  kind       "service", which one pod may play together with others; "store", which only services of their own need; "own"
  enabled    false if it is there only when values ask for it
*/ -}}

{{- /* The parts with what the values say of them, each with "enabled". */ -}}
{{- define "part.all" -}}
{{- $parts := include "parts" . | fromYaml -}}
{{- with $parts.Error }}{{ fail . }}{{ end -}}
{{- $names := keys $parts -}}
{{- range $name, $part := $parts -}}
{{- range $part.before }}{{ $names = append $names .name }}{{ end -}}
{{- $values := get $.Values.components $name | default dict -}}
{{- $enabled := ne (toString $part.enabled) "false" -}}
{{- if and (eq $part.kind "store") $.Values.allInOne.enabled }}{{ $enabled = false }}{{ end -}}
{{- if hasKey $values "enabled" }}{{ $enabled = $values.enabled }}{{ end -}}
{{- $_ := set $parts $name (mergeOverwrite $part (omit $values "enabled") (dict "enabled" $enabled)) -}}
{{- end -}}
{{- range $name, $values := .Values.components -}}
{{- if and $values (not (has $name $names)) }}{{ fail (printf "components.%s: there is no such part" $name) }}{{ end -}}
{{- end -}}
{{- toYaml $parts -}}
{{- end }}

{{- /* The one part that plays all services. */ -}}
{{- define "part.together" -}}
{{- $ports := list -}}
{{- range $name, $part := .parts -}}
{{- if and $part.enabled (eq $part.kind "service") }}{{ $ports = concat $ports ($part.ports | default list) }}{{ end -}}
{{- end -}}
{{- $part := include "together" .root | fromYaml -}}
{{- $_ := set $part "ports" $ports -}}
{{- toYaml (mergeOverwrite $part (omit .root.Values.allInOne "enabled")) -}}
{{- end }}

{{- define "part.selector" -}}
{{ include "selector" .root }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "part.labels" -}}
{{ include "labels" .root }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "part.image" -}}
image: "{{ .image.repository }}:{{ .image.tag }}"
imagePullPolicy: {{ .image.pullPolicy | default .root.Values.pullPolicy }}
{{- end }}

{{- /* A variable can be made of others ("$(NAME)") that are before it: first secrets, then texts, then what is made of these. */ -}}
{{- define "part.env" -}}
{{- range $name, $value := .env }}
{{- if kindIs "map" $value }}
- name: {{ $name }}
  valueFrom:
    secretKeyRef:
      name: {{ required "adminSecret.name is the Secret with the token that manages the application" $.root.Values.adminSecret.name }}
      key: {{ get (dict "token" $.root.Values.adminSecret.key "inner" $.root.Values.adminSecret.innerKey) $value.secret }}
{{- end }}
{{- end }}
{{- range $is_made := list false true }}
{{- range $name, $value := $.env }}
{{- if and (not (kindIs "map" $value)) (eq $is_made (contains "$(" $value)) }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "part.probe" -}}
{{- if .path }}
httpGet:
  path: {{ .path }}
  port: {{ .port }}
{{- else if .exec }}
exec:
  command: {{- toYaml .exec | nindent 4 }}
{{- else }}
tcpSocket:
  port: {{ .port }}
{{- end }}
{{- end }}

{{- define "part.mounts" -}}
{{- with .data }}
- name: data
  mountPath: {{ .path }}
{{- end }}
{{- with .files }}
- name: files
  mountPath: {{ .folder }}
  readOnly: true
{{- end }}
{{- range $number, $path := .scratch }}
- name: scratch-{{ $number }}
  mountPath: {{ $path }}
{{- end }}
{{- end }}

{{- define "part.security" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}
