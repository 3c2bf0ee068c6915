{{/* image (list ROOT PROGRAM) */}}
{{- define "qoe-router.image" -}}
{{- $root := index . 0 -}}
{{- $image := index $root.Values.image (index . 1) -}}
image: {{ printf "%s:%s" $image.repository ($image.tag | default $root.Chart.AppVersion) | quote }}
imagePullPolicy: {{ $image.pullPolicy }}
{{- end -}}

{{/* podMetadata (list ROOT COMPONENT): labels and annotations of the pods of the controller or the router. */}}
{{- define "qoe-router.podMetadata" -}}
{{- $root := index . 0 -}}
{{- $values := index $root.Values (index . 1) -}}
labels:
  {{- include "qoe-router.podLabels" (list $root (index . 1) $values.podLabels) | nindent 2 }}
{{- $scraped := dict "prometheus.io/scrape" "true" "prometheus.io/port" "9090" "prometheus.io/path" "/metrics" -}}
{{- with merge dict $values.podAnnotations (ternary $scraped dict (eq $root.Values.metrics.mode "annotations")) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* podSpec (list ROOT COMPONENT): what the pods of the controller and of the router have in common. */}}
{{- define "qoe-router.podSpec" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
{{- $values := index $root.Values $component -}}
serviceAccountName: {{ include "qoe-router.serviceAccountName" (list $root $component) | quote }}
enableServiceLinks: false
securityContext:
  {{- toYaml $root.Values.podSecurityContext | nindent 2 }}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.topologySpreadConstraints }}
topologySpreadConstraints:
{{- range . }}
- {{ toYaml . | nindent 2 | trim }}
{{- if not (hasKey . "labelSelector") }}
  labelSelector:
    matchLabels:
      {{- include "qoe-router.selectorLabels" (list $root $component) | nindent 6 }}
  # Per revision: pods that a rollout replaces do not count.
  matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Probes ask the admin port, which has its own thread: traffic cannot starve them. */}}
{{- define "qoe-router.probes" -}}
livenessProbe:
  httpGet: {path: /live, port: admin}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /ready, port: admin}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 3
{{- end -}}

{{- define "qoe-router.logArgs" -}}
- {{ printf "--log-level=%s" .Values.log.level | quote }}
- --log-format={{ .Values.log.format }}
{{- end -}}

{{/* tlsVolume (list ROOT COMPONENT) */}}
{{- define "qoe-router.tlsVolume" -}}
name: tls
secret:
  secretName: {{ include "qoe-router.tlsSecretName" . | quote }}
  defaultMode: 0440
{{- end -}}
