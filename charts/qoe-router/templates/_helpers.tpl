{{/* shorten (list TEXT MAX): TEXT, if it is longer than MAX cut to it, with a hash so that two long ones still differ. */}}
{{- define "qoe-router.shorten" -}}
{{- $text := index . 0 -}}
{{- $max := index . 1 -}}
{{- if le (len $text) $max -}}
{{- $text -}}
{{- else -}}
{{- printf "%s-%s" (trunc (int (sub $max 9)) $text | trimSuffix "-" | trimSuffix ".") (sha256sum $text | trunc 8) -}}
{{- end -}}
{{- end -}}

{{- define "qoe-router.name" -}}
{{- .Values.nameOverride | default .Chart.Name -}}
{{- end -}}

{{/*
The beginning of all names. A release's name may have dots, and may begin with a digit; a Service's may not. 48 characters
leave room for the longest ending, `-controller-tls`, within the 63 of a label of DNS.
*/}}
{{- define "qoe-router.fullname" -}}
{{- $name := include "qoe-router.name" . -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- $full = .Values.fullnameOverride | default $full | replace "." "-" -}}
{{- if regexMatch "^[0-9]" $full -}}
{{- $full = printf "qoe-%s" $full -}}
{{- end -}}
{{- include "qoe-router.shorten" (list $full 48) -}}
{{- end -}}

{{/* The router is the main component, so its objects have no suffix. */}}
{{- define "qoe-router.router" -}}
{{- include "qoe-router.fullname" . -}}
{{- end -}}

{{- define "qoe-router.controller" -}}
{{- printf "%s-controller" (include "qoe-router.fullname" .) -}}
{{- end -}}

{{/* Names of objects outside the release's namespace, where another release may have the same name. */}}
{{- define "qoe-router.uniqueController" -}}
{{- include "qoe-router.shorten" (list (printf "%s:%s" .Release.Namespace (include "qoe-router.controller" .)) 63) -}}
{{- end -}}

{{/* selectorLabels (list ROOT COMPONENT): what selects the pods of a component; it may never change. */}}
{{- define "qoe-router.selectorLabels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "qoe-router.name" $root | quote }}
app.kubernetes.io/instance: {{ $root.Release.Name | quote }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* podLabels (list ROOT COMPONENT MORE): the labels of pods; nothing that changes with the chart's version only. */}}
{{- define "qoe-router.podLabels" -}}
{{- $root := index . 0 -}}
{{- $own := include "qoe-router.selectorLabels" . | fromYaml -}}
{{- $_ := set $own "app.kubernetes.io/part-of" "qoe-router" -}}
{{- $version := $root.Chart.AppVersion | replace "+" "_" -}}
{{- $_ := set $own "app.kubernetes.io/version" (include "qoe-router.shorten" (list $version 63)) -}}
{{- merge $own (index . 2) $root.Values.commonLabels | toYaml -}}
{{- end -}}

{{/* labels (list ROOT COMPONENT): the labels of all other objects. */}}
{{- define "qoe-router.labels" -}}
{{- $root := index . 0 -}}
{{- $own := include "qoe-router.podLabels" (list $root (index . 1) dict) | fromYaml -}}
{{- $chart := printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" $root.Release.Service -}}
{{- $_ := set $own "helm.sh/chart" (include "qoe-router.shorten" (list $chart 63)) -}}
{{- $own | toYaml -}}
{{- end -}}

{{/* metadata (list ROOT COMPONENT NAME): of an object in the release's namespace. */}}
{{- define "qoe-router.metadata" -}}
{{- $root := index . 0 -}}
name: {{ index . 2 | quote }}
namespace: {{ $root.Release.Namespace | quote }}
labels:
  {{- include "qoe-router.labels" (list $root (index . 1)) | nindent 2 }}
{{- end -}}

{{/* serviceAccountName (list ROOT COMPONENT) */}}
{{- define "qoe-router.serviceAccountName" -}}
{{- $root := index . 0 -}}
{{- $account := (index $root.Values (index . 1)).serviceAccount -}}
{{- $made := include (printf "qoe-router.%s" (index . 1)) $root -}}
{{- $account.name | default (ternary $made "default" $account.create) -}}
{{- end -}}

{{/* tlsSecretName (list ROOT COMPONENT) */}}
{{- define "qoe-router.tlsSecretName" -}}
{{- $root := index . 0 -}}
{{- $named := "" -}}
{{- if eq $root.Values.tls.mode "existing" -}}
{{- $named = index $root.Values.tls.existing (printf "%sSecret" (index . 1)) -}}
{{- end -}}
{{- $named | default (printf "%s-tls" (include (printf "qoe-router.%s" (index . 1)) $root)) -}}
{{- end -}}

{{/* The name that the controller's certificate is for, and that routers ask for. */}}
{{- define "qoe-router.controllerHost" -}}
{{- printf "%s.%s.svc" (include "qoe-router.controller" .) .Release.Namespace -}}
{{- end -}}

{{/* Errors for values that are valid alone but not together. */}}
{{- define "qoe-router.validate" -}}
{{- $scaling := .Values.router.autoscaling -}}
{{- if and $scaling.enabled (gt (int $scaling.minReplicas) (int $scaling.maxReplicas)) -}}
{{- fail "router.autoscaling.minReplicas is above maxReplicas: swap them, or change one" -}}
{{- end -}}
{{- if and .Values.demo.enabled .Values.namespaces (not (has .Release.Namespace .Values.namespaces)) -}}
{{- $why := printf "demo.enabled puts pods into the namespace %s, which is not watched" .Release.Namespace -}}
{{- fail (printf "%s: add it to namespaces, or turn the demo off" $why) -}}
{{- end -}}
{{- if and .Values.tls.certManager.issuerRef (not .Values.tls.certManager.issuerRef.name) -}}
{{- fail "tls.certManager.issuerRef has no name: write {name: …, kind: Issuer or ClusterIssuer}" -}}
{{- end -}}
{{- end -}}
