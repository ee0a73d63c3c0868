{{/*
Writes into a Deployment or a DaemonSet what the values say. It prints nothing.
*/}}
{{- define "lbd.workload" -}}
{{- $values := .values -}}
{{- $pod := .object.spec.template -}}
{{- $spec := $pod.spec -}}
{{- $container := first $spec.containers -}}
{{- if eq .object.kind "DaemonSet" }}{{ include "lbd.speaker" . }}{{ end -}}
{{- $image := $values.image -}}
{{- $_ := set $container "image" (printf "%s:%s" $image.repository (default .root.Chart.AppVersion $image.tag)) -}}
{{- with $image.pullPolicy }}{{ $_ := set $container "imagePullPolicy" . }}{{ end -}}
{{- $_ := set $container "resources" $values.resources -}}
{{- $_ := set $container "args" (concat $container.args $values.extraArgs) -}}
{{- $_ := set $spec "serviceAccountName" .account -}}
{{- $_ := set $spec "tolerations" (concat (default list $spec.tolerations) $values.tolerations) -}}
{{- if not $spec.tolerations }}{{ $_ := unset $spec "tolerations" }}{{ end -}}
{{- with .root.Values.imagePullSecrets }}{{ $_ := set $spec "imagePullSecrets" . }}{{ end -}}
{{- range $field := list "nodeSelector" "affinity" "priorityClassName" "runtimeClassName" -}}
{{- with index $values $field }}{{ $_ := set $spec $field . }}{{ else }}{{ $_ := unset $spec $field }}{{ end -}}
{{- end -}}
{{- with $values.podAnnotations }}{{ $_ := set $pod.metadata "annotations" . }}{{ end -}}
{{- $_ := set $pod.metadata "labels" (merge (dict) $pod.metadata.labels $values.labels) -}}
{{- with $values.strategy }}{{ $_ := set $.object.spec "strategy" . }}{{ end -}}
{{- with $values.updateStrategy }}{{ $_ := set $.object.spec "updateStrategy" . }}{{ end -}}
{{- with .root.Values.loadBalancerClass -}}
{{- $_ := set $container "env" (append $container.env (dict "name" "LBD_LB_CLASS" "value" .)) -}}
{{- end -}}
{{- end }}
