{{/*
Writes into the speakers' DaemonSet what the values say of them alone. It prints nothing.
*/}}
{{- define "lbd.speaker" -}}
{{- $values := .root.Values.speaker -}}
{{- $spec := .object.spec.template.spec -}}
{{- $container := first $spec.containers -}}
{{- if not $values.tolerateMaster }}{{ $_ := set $spec "tolerations" list }}{{ end -}}
{{- $address := $values.httpAddress -}}
{{- $port := int $values.httpPort -}}
{{- $monitored := .root.Values.prometheus.podMonitor.enabled -}}
{{- if and $monitored (or (hasPrefix "127." $address) (eq $address "::1")) -}}
{{- fail (printf "prometheus.podMonitor.enabled: Prometheus does not reach speaker.httpAddress %s; write one that it reaches, as in 0.0.0.0" $address) -}}
{{- end -}}
{{- range $variable := $container.env -}}
{{- if eq $variable.name "LBD_HTTP" -}}
{{- $host := ternary (printf "[%s]" $address) $address (contains ":" $address) -}}
{{- $_ := set $variable "value" (printf "%s:%d" $host $port) -}}
{{- end -}}
{{- end -}}
{{- if $monitored }}{{ $_ := set $container "ports" (list (dict "name" "http" "containerPort" $port)) }}{{ end -}}
{{- range $probe := list $container.livenessProbe $container.readinessProbe -}}
{{- /* Whoever listens everywhere listens on loopback too. */ -}}
{{- $_ := set $probe.httpGet "host" (ternary "127.0.0.1" $address (has $address (list "0.0.0.0" "::"))) -}}
{{- $_ := set $probe.httpGet "port" $port -}}
{{- end -}}
{{- if ne (int $values.memberlist.mlBindPort) 7947 -}}
{{- $port := dict "name" "LBD_MEMBERSHIP_PORT" "value" (toString (int $values.memberlist.mlBindPort)) -}}
{{- $_ := set $container "env" (append $container.env $port) -}}
{{- end -}}
{{- if $values.ignoreExcludeLB -}}
{{- $_ := set $container "env" (append $container.env (dict "name" "LBD_IGNORE_EXCLUDE_LB" "value" "true")) -}}
{{- end -}}
{{- end }}
