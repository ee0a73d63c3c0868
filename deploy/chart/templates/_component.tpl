{{/*
A component, out of the same manifest that kustomize applies: its objects, each with what the values say.
*/}}
{{- define "lbd.component" -}}
{{- $root := .root -}}
{{- $values := index $root.Values .name -}}
{{- $account := default (printf "lbd-%s" .name) $values.serviceAccount.name -}}
{{- range $document := splitList "\n---\n" ($root.Files.Get (printf "files/%s.yaml" .name)) }}
{{- $object := fromYaml $document }}
{{- if hasKey $object.metadata "namespace" }}
{{- $_ := set $object.metadata "namespace" $root.Release.Namespace }}
{{- end }}
{{- range $subject := $object.subjects }}
{{- $_ := set $subject "name" $account }}
{{- $_ := set $subject "namespace" $root.Release.Namespace }}
{{- end }}
{{- $wanted := true }}
{{- if eq $object.kind "ServiceAccount" }}
{{- $wanted = $values.serviceAccount.create }}
{{- $_ := set $object.metadata "name" $account }}
{{- with $values.serviceAccount.annotations }}{{ $_ := set $object.metadata "annotations" . }}{{ end }}
{{- else if has $object.kind (list "Deployment" "DaemonSet") }}
{{- include "lbd.workload" (dict "root" $root "values" $values "account" $account "object" $object) }}
{{- else }}
{{- $wanted = $root.Values.rbac.create }}
{{- end }}
{{- if $wanted }}
---
{{ toYaml $object }}
{{- end }}
{{- end }}
{{- end }}
