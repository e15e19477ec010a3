{{- define "phoebe.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "phoebe.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "phoebe.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "phoebe.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "phoebe.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "phoebe.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* Selectors never change: they have no version. Argument: (list . "addon"). */}}
{{- define "phoebe.selectorLabels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "phoebe.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "phoebe.labels" -}}
{{- $root := index . 0 -}}
{{ include "phoebe.selectorLabels" . }}
app.kubernetes.io/part-of: phoebe
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "phoebe.image" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- $registry := default $image.registry $root.Values.global.imageRegistry -}}
{{- with $registry }}{{ . }}/{{ end -}}
{{- $image.repository -}}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ default $root.Chart.AppVersion $image.tag }}{{ end -}}
{{- end -}}

{{- define "phoebe.raterAddress" -}}
{{- default (printf "%s-rater:%v" (include "phoebe.fullname" .) .Values.rater.service.port) .Values.rater.address -}}
{{- end -}}

{{- define "phoebe.pricesConfigMap" -}}
{{- if .Values.prices.content -}}
{{- printf "%s-prices" (include "phoebe.fullname" .) -}}
{{- else -}}
{{- .Values.prices.existingConfigMap -}}
{{- end -}}
{{- end -}}

{{/* A value as text. Helm reads numbers as floats, and would write 2147483648 as 2.147483648e+09. */}}
{{- define "phoebe.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}
{{- int64 . -}}
{{- else -}}
{{- toString . -}}
{{- end -}}
{{- end -}}

{{/* Options as variables of the environment, in the order of their names. */}}
{{- define "phoebe.options" -}}
{{- range $name, $value := . }}
- name: PHOEBE_{{ upper $name }}
  value: {{ include "phoebe.text" $value | quote }}
{{- end }}
{{- end -}}

{{/* Where spans go, of proxies and raters alike. Argument: the root. */}}
{{- define "phoebe.tracingEnv" -}}
{{- with .Values.tracing }}
{{- if .enabled -}}
- name: PHOEBE_TRACING
  value: {{ ternary "identified" "on" .identified | quote }} # YAML takes a bare on for true
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ required "tracing.endpoint is the address of the collector, such as http://otel-collector.monitoring.svc:4317" .endpoint | quote }}
- name: OTEL_TRACES_SAMPLER
  value: {{ .sampler }}
{{- with .samplerArgument }}
- name: OTEL_TRACES_SAMPLER_ARG
  value: {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "phoebe.databaseEnv" -}}
- name: DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ required "database.existingSecret names the Secret with the URL of the database" .Values.database.existingSecret }}
      key: {{ .Values.database.key }}
{{- end -}}

{{/* A standby, from which the rater reads bills. */}}
{{- define "phoebe.readDatabaseEnv" -}}
{{- with .Values.database.readExistingSecret -}}
- name: READ_DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: {{ $.Values.database.readKey }}
{{- end }}
{{- end -}}

{{/* What is the same for all pods. Argument: (list . (values of the component) (name of the account)). */}}
{{- define "phoebe.podSettings" -}}
{{- $root := index . 0 -}}
{{- $own := index . 1 -}}
serviceAccountName: {{ index . 2 }}
# Kubernetes' own variables for a Service named phoebe-… begin with PHOEBE_, which would be taken for misspelt ones.
enableServiceLinks: false
automountServiceAccountToken: {{ $root.Values.automountServiceAccountToken }}
securityContext:
  {{- toYaml $root.Values.podSecurityContext | nindent 2 }}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{- define "phoebe.spread" -}}
{{- $root := index . 0 -}}
{{- $own := index . 1 -}}
topologySpreadConstraints:
{{- if $own.topologySpreadConstraints }}
  {{- toYaml $own.topologySpreadConstraints | nindent 2 }}
{{- else }}
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "phoebe.selectorLabels" (list $root (index . 2)) | nindent 8 }}
{{- end }}
{{- end -}}

{{/* The three probes. Argument: (dict "startup" how often the start is looked at, every 2 seconds; "ready" the page of
readiness: of the rater the one that decides whether events can be delivered, as that is what its Service is for). */}}
{{- define "phoebe.probes" -}}
startupProbe:
  httpGet: { path: /livez, port: metrics }
  periodSeconds: 2
  timeoutSeconds: 3
  failureThreshold: {{ .startup }}
livenessProbe:
  httpGet: { path: /livez, port: metrics }
  periodSeconds: 10
  timeoutSeconds: 3
  failureThreshold: 6
readinessProbe:
  httpGet: { path: {{ .ready }}, port: metrics }
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
{{- end -}}

{{/* The addon as a container, of a gateway or beside an engine. */}}
{{- define "phoebe.addonContainer" -}}
{{- $addon := .Values.addon -}}
{{- $sidecar := eq $addon.mode "sidecar" -}}
name: addon
image: {{ include "phoebe.image" (list . $addon.image) }}
imagePullPolicy: {{ $addon.image.pullPolicy }}
{{- if $sidecar }}
# A sidecar: it starts before the engine and ends after it.
restartPolicy: Always
{{- end }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
{{- with $addon.extraArgs }}
args:
  {{- toYaml . | nindent 2 }}
{{- end }}
env:
  {{- if $sidecar }}
  - name: PHOEBE_UPSTREAM
    value: {{ $addon.engine.upstream | quote }}
  {{- else if $addon.upstreams }}
  - name: PHOEBE_UPSTREAM
    value: /etc/phoebe/upstreams/upstreams.yaml
  {{- else if not $addon.options.upstream }}
  {{- fail "addon.upstreams (a map) or addon.options.upstream (one URL) says where the model servers are" }}
  {{- end }}
  - name: PHOEBE_RATER
    value: {{ include "phoebe.raterAddress" . | quote }}
  {{- if .Values.tls.existingSecret }}
  - name: PHOEBE_RATER_TLS
    value: "true"
  - name: PHOEBE_RATER_CA
    value: /etc/phoebe/ca/ca.crt
  {{- end }}
  {{- if .Values.addonToken.existingSecret }}
  - name: PHOEBE_RATER_TOKEN_FILE
    value: /etc/phoebe/token/token
  {{- end }}
  {{- if .Values.edgeSecret.existingSecret }}
  - name: PHOEBE_EDGE_SECRET_FILE
    value: /etc/phoebe/edge/secret
  {{- end }}
  {{- if eq $addon.mode "daemonset" }}
  # The pod of a node has another name after each rollout; its spool stays.
  - name: PHOEBE_NAME
    valueFrom: { fieldRef: { fieldPath: spec.nodeName } }
  {{- else }}
  # fsGroup gives the volume to a group that has no other member.
  - name: PHOEBE_SPOOL_TRUST_GROUP
    value: "true"
  {{- end }}
  - name: PHOEBE_METRICS
    value: "0.0.0.0:9090"
  - name: PHOEBE_DRAIN_TIMEOUT
    value: {{ include "phoebe.text" $addon.drain.timeoutSeconds | quote }}
  {{- with include "phoebe.tracingEnv" . }}
  {{- trim . | nindent 2 }}
  {{- end }}
  {{- with include "phoebe.options" $addon.options }}
  {{- trim . | nindent 2 }}
  {{- end }}
  {{- with $addon.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with $addon.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  - { name: http, containerPort: 8080 }
  - { name: metrics, containerPort: 9090 }
{{ include "phoebe.probes" (dict "startup" 60 "ready" "/readyz") }}
lifecycle:
  # From SIGTERM on, requests are refused; until then the pod leaves the load balancers.
  preStop:
    sleep: { seconds: {{ $addon.drain.preStopSeconds }} }
resources:
  {{- toYaml $addon.resources | nindent 2 }}
volumeMounts:
  - { name: spool, mountPath: /var/lib/phoebe/spool }
  - { name: tmp, mountPath: /tmp }
  {{- if and $addon.upstreams (not $sidecar) }}
  - { name: upstreams, mountPath: /etc/phoebe/upstreams, readOnly: true }
  {{- end }}
  {{- if .Values.tls.existingSecret }}
  - { name: ca, mountPath: /etc/phoebe/ca, readOnly: true }
  {{- end }}
  {{- if .Values.addonToken.existingSecret }}
  - { name: token, mountPath: /etc/phoebe/token, readOnly: true }
  {{- end }}
  {{- if .Values.edgeSecret.existingSecret }}
  - { name: edge, mountPath: /etc/phoebe/edge, readOnly: true }
  {{- end }}
  {{- with $addon.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "phoebe.addonVolumes" -}}
{{- $addon := .Values.addon -}}
- name: tmp
  emptyDir: {}
{{- if eq $addon.mode "daemonset" }}
- name: spool
  # It has to be there, and to belong to the pods' user: Kubernetes would make it for root.
  hostPath: { path: {{ $addon.spool.hostPath }}, type: Directory }
{{- end }}
{{- if and $addon.upstreams (ne $addon.mode "sidecar") }}
- name: upstreams
  configMap: { name: {{ include "phoebe.fullname" . }}-upstreams }
{{- end }}
{{- if .Values.tls.existingSecret }}
- name: ca
  secret:
    secretName: {{ .Values.tls.existingSecret }}
    defaultMode: 0440
    # The authority alone: the rater's key is no business of the addon's.
    items: [{ key: ca.crt, path: ca.crt }]
{{- end }}
{{- if .Values.addonToken.existingSecret }}
- name: token
  secret: { secretName: {{ .Values.addonToken.existingSecret }}, defaultMode: 0440 }
{{- end }}
{{- if .Values.edgeSecret.existingSecret }}
- name: edge
  secret: { secretName: {{ .Values.edgeSecret.existingSecret }}, defaultMode: 0440 }
{{- end }}
{{- with $addon.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The pods of the addon, whatever makes them: metadata and spec. */}}
{{- define "phoebe.addonPod" -}}
{{- $addon := .Values.addon -}}
{{- $sidecar := eq $addon.mode "sidecar" -}}
metadata:
  labels:
    {{- include "phoebe.labels" (list . "addon") | nindent 4 }}
    {{- with $addon.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $addon.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- include "phoebe.podSettings" (list . $addon (include "phoebe.serviceAccountName" .)) | nindent 2 }}
  {{- if ne $addon.mode "daemonset" }}
  {{- include "phoebe.spread" (list . $addon "addon") | nindent 2 }}
  {{- end }}
  # preStop, then the drain, then what is left of the spool.
  terminationGracePeriodSeconds: {{ add $addon.drain.preStopSeconds $addon.drain.timeoutSeconds 15 }}
  {{- if $sidecar }}
  initContainers:
    -
      {{- include "phoebe.addonContainer" . | nindent 6 }}
  {{- end }}
  containers:
    {{- if $sidecar }}
    {{- toYaml $addon.engine.containers | nindent 4 }}
    {{- else }}
    -
      {{- include "phoebe.addonContainer" . | nindent 6 }}
    {{- end }}
    {{- with $addon.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    {{- include "phoebe.addonVolumes" . | nindent 4 }}
    {{- if $sidecar }}
    {{- with $addon.engine.volumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- end }}
{{- end -}}
