/**
 * What it costs, and who caused it. Google's billing export goes into one data set (it is switched on by hand, once: there is no API);
 * an environment's view shows, by day, the tokens that tenants used. Nothing joins the two yet.
 */
import * as gcp from "@pulumi/gcp"
import * as pulumi from "@pulumi/pulumi"
import * as names from "../names.ts"
import type { SharedSettings } from "../settings.ts"

const BILLING = "agents_billing"

/** The data set of the export, and a budget where the paying account is known. */
export class Billing extends pulumi.ComponentResource {
  constructor(name: string, settings: SharedSettings, options?: pulumi.ComponentResourceOptions) {
    super("agents:observe:Billing", name, {}, options)
    const parent = { parent: this }
    new gcp.bigquery.Dataset(
      `${name}-export`,
      {
        project: names.deliveryProject,
        datasetId: BILLING,
        location: names.region,
        description: "Google's export of costs",
        labels: names.labels(names.shared, "costs")
      },
      { ...parent, protect: settings.protect }
    )
    if (settings.billingAccount !== undefined) {
      new gcp.billing.Budget(
        `${name}-budget`,
        {
          billingAccount: settings.billingAccount,
          displayName: "Agents, all environments",
          amount: { specifiedAmount: { currencyCode: "USD", units: "2000" } },
          thresholdRules: [{ thresholdPercent: 0.5 }, { thresholdPercent: 0.9 }, { thresholdPercent: 1 }]
        },
        parent
      )
    }
    this.registerOutputs({})
  }
}

/** Tokens by tenant, day and model, read from the database when asked. */
export class TokenUsage extends pulumi.ComponentResource {
  constructor(
    name: string,
    args: { readonly environment: names.Environment; readonly connection: pulumi.Output<string> },
    options?: pulumi.ComponentResourceOptions
  ) {
    super("agents:observe:TokenUsage", name, {}, options)
    const parent = { parent: this }
    const project = names.environmentProject(args.environment)
    const labels = names.labels(args.environment, "costs")
    const dataset = new gcp.bigquery.Dataset(
      `${name}-costs`,
      { project, datasetId: "agents_costs", location: names.region, description: "Costs by tenant", labels },
      parent
    )
    new gcp.bigquery.Table(
      `${name}-token-usage`,
      {
        project,
        datasetId: dataset.datasetId,
        tableId: "token_usage",
        deletionProtection: false,
        description: "Tokens by tenant, day and model",
        labels,
        view: {
          useLegacySql: false,
          query: pulumi.interpolate`select * from external_query("${args.connection}", """
  select tenant_id, date_trunc('day', recorded_at)::date as day, model,
    sum(input_tokens)::bigint as input_tokens, sum(output_tokens)::bigint as output_tokens
  from agents.token_usage group by 1, 2, 3""")`
        }
      },
      parent
    )
    this.registerOutputs({})
  }
}
