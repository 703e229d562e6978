/** Alerts, dashboard, counted logs, uptime and objectives of one environment. */
import * as gcp from "@pulumi/gcp"
import * as pulumi from "@pulumi/pulumi"
import { failureModes, logMetrics } from "../failureModes.ts"
import * as names from "../names.ts"
import { objectives } from "../objectives.ts"
import type { EnvironmentSettings } from "../settings.ts"

const RUNBOOKS = "docs/runbooks"

export class Observation extends pulumi.ComponentResource {
  constructor(
    name: string,
    args: {
      readonly environment: names.Environment
      readonly settings: EnvironmentSettings
      readonly apiHost: pulumi.Output<string>
    },
    options?: pulumi.ComponentResourceOptions
  ) {
    super("agents:observe:Observation", name, {}, options)
    const parent = { parent: this }
    const { environment, settings } = args
    const project = names.environmentProject(environment)
    const channel = new gcp.monitoring.NotificationChannel(
      `${name}-channel`,
      { project, displayName: "On call", type: "email", labels: { email_address: settings.alerts } },
      parent
    )
    const counted = Object.entries(logMetrics).map(
      ([metric, filter]) =>
        new gcp.logging.Metric(
          `${name}-metric-${metric}`,
          {
            project,
            name: metric,
            filter: `resource.type="k8s_container" resource.labels.namespace_name="${names.namespace}" ${filter}`,
            metricDescriptor: { metricKind: "DELTA", valueType: "INT64" }
          },
          parent
        )
    )
    const userLabels = { app: "agents", env: environment }
    for (const { id, lasting, panel, severity, title, when } of failureModes) {
      new gcp.monitoring.AlertPolicy(
        `${name}-alert-${id}`,
        {
          project,
          displayName: `${environment}: ${title}`,
          combiner: "OR",
          severity: severity === "page" ? "CRITICAL" : "WARNING",
          conditions: [
            {
              displayName: title,
              conditionPrometheusQueryLanguage: {
                query: `${panel} ${when}`,
                duration: `${lasting}s`,
                evaluationInterval: "60s",
                // Some are written for the first time when the first release runs.
                disableMetricValidation: true
              }
            }
          ],
          documentation: { content: `Runbook: ${RUNBOOKS}/${id}.md`, mimeType: "text/markdown", subject: title },
          notificationChannels: [channel.id],
          userLabels: { ...userLabels, failure: id, severity }
        },
        { ...parent, dependsOn: counted }
      )
    }
    new gcp.monitoring.Dashboard(
      `${name}-dashboard`,
      {
        project,
        dashboardJson: JSON.stringify({
          displayName: `Agents ${environment}`,
          mosaicLayout: {
            columns: 48,
            tiles: failureModes.map(({ id, panel, title, when }, i) => ({
              xPos: (i % 3) * 16,
              yPos: Math.floor(i / 3) * 12,
              width: 16,
              height: 12,
              widget: {
                id,
                title: `${title} (${when})`,
                xyChart: { dataSets: [{ plotType: "LINE", timeSeriesQuery: { prometheusQuery: panel } }] }
              }
            }))
          }
        })
      },
      parent
    )
    new gcp.monitoring.UptimeCheckConfig(
      `${name}-uptime`,
      {
        project,
        displayName: `${environment}: API`,
        period: "60s",
        timeout: "10s",
        // 401 is the right answer to nobody: load balancer, edge and its verification of tokens are at work.
        httpCheck: {
          path: "/runs/uptime",
          port: 443,
          useSsl: true,
          validateSsl: true,
          acceptedResponseStatusCodes: [{ statusValue: 401 }]
        },
        monitoredResource: { type: "uptime_url", labels: { project_id: project, host: args.apiHost } }
      },
      parent
    )
    const service = new gcp.monitoring.CustomService(
      `${name}-service`,
      { project, serviceId: "agents", displayName: "Agents", userLabels },
      parent
    )
    for (const { goal, id, sli, title } of objectives) {
      const slo = new gcp.monitoring.Slo(
        `${name}-objective-${id}`,
        {
          project,
          service: service.serviceId,
          sloId: id,
          displayName: title,
          goal,
          rollingPeriodDays: 28,
          requestBasedSli: sli
        },
        parent
      )
      // Google's own advice: 2 % of a month's budget in an hour wakes somebody; 5 % in six hours is looked at in the morning.
      for (const [speed, window, factor, severity] of [
        ["fast", "3600s", 13.4, "CRITICAL"],
        ["slow", "21600s", 5.6, "WARNING"]
      ] as const) {
        new gcp.monitoring.AlertPolicy(
          `${name}-burn-${id}-${speed}`,
          {
            project,
            displayName: `${environment}: ${title}: error budget burns ${speed}`,
            combiner: "OR",
            severity,
            conditions: [
              {
                displayName: `Burn rate over ${window}`,
                conditionThreshold: {
                  filter: pulumi.interpolate`select_slo_burn_rate("${slo.name}", "${window}")`,
                  comparison: "COMPARISON_GT",
                  thresholdValue: factor,
                  duration: "0s"
                }
              }
            ],
            documentation: { content: "docs/slo.md", mimeType: "text/markdown" },
            notificationChannels: [channel.id],
            userLabels
          },
          parent
        )
      }
    }
    // What was logged is kept for half a year, where it can be asked with SQL.
    const bucket = new gcp.logging.ProjectBucketConfig(
      `${name}-logs`,
      {
        project,
        location: names.region,
        bucketId: "agents",
        retentionDays: 180,
        enableAnalytics: true,
        description: "Logs of the agents"
      },
      parent
    )
    new gcp.logging.ProjectSink(
      `${name}-sink`,
      {
        project,
        name: "agents",
        destination: pulumi.interpolate`logging.googleapis.com/${bucket.id}`,
        filter: `resource.type="k8s_container" resource.labels.namespace_name="${names.namespace}" OR resource.labels.service_name="agents-edge"`,
        uniqueWriterIdentity: true
      },
      parent
    )
    this.registerOutputs({})
  }
}
