{{/* Metadata of an object: (list . NAME NAMESPACE), of the cluster where NAMESPACE is empty. */}}
{{- define "meltemi.metadata" -}}
{{- $root := index . 0 -}}
name: {{ index . 1 }}
{{- with index . 2 }}
namespace: {{ . }}
{{- end }}
labels:
  app.kubernetes.io/name: meltemi
  app.kubernetes.io/part-of: meltemi
  app.kubernetes.io/managed-by: {{ $root.Release.Service }}
  helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Not empty where the webhook is wanted: it needs rights in the whole cluster. */}}
{{- define "meltemi.webhook" -}}
{{- if kindIs "bool" .Values.webhook -}}
{{- if .Values.webhook }}yes{{ end -}}
{{- else if not .Values.watchNamespaces -}}
yes
{{- end -}}
{{- end }}

{{/* A setting as text. Helm knows numbers as floats, and would write 2e+06. */}}
{{- define "meltemi.setting" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- end }}

{{/* The image, by its tag or its digest. */}}
{{- define "meltemi.image" -}}
{{- $tag := .Values.image.tag | default .Chart.AppVersion -}}
{{ .Values.image.repository }}{{ hasPrefix "sha256:" $tag | ternary "@" ":" }}{{ $tag }}
{{- end }}

{{/* Names and numbers of the ports that are served. */}}
{{- define "meltemi.ports" -}}
xds: {service: 18000, container: 18000}
{{- if .Values.tokens }}
token-xds: {service: 18001, container: 18001}
{{- end }}
admin: {service: 18080, container: 18080}
{{- if include "meltemi.webhook" . }}
webhook: {service: 443, container: 9443}
{{- end }}
{{- end }}

{{/* A role and its binding: (list . KIND NAME NAMESPACE RULES). */}}
{{- define "meltemi.role" -}}
{{- $root := index . 0 -}}
{{- $kind := index . 1 -}}
{{- $name := index . 2 -}}
{{- $metadata := include "meltemi.metadata" (list $root $name (index . 3)) -}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}
metadata:
  {{- $metadata | nindent 2 }}
rules:
  {{- toYaml (index . 4) | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}Binding
metadata:
  {{- $metadata | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ $kind }}
  name: {{ $name }}
subjects:
  - kind: ServiceAccount
    name: meltemi
    namespace: {{ $root.Release.Namespace }}
{{- end }}
