/**
 * What it costs, and who caused it. Google's billing export goes into one data set (it is switched on by hand, once: there is no API).
 * An environment's tokens are copied from its database each night, and a view joins the two: a day's bill by tenant.
 */
import * as gcp from "@pulumi/gcp"
import * as pulumi from "@pulumi/pulumi"
import { billingByDay, shareOut, usageByDay } from "../costs.ts"
import * as names from "../names.ts"
import type { SharedSettings } from "../settings.ts"

/** The data set of the export, and a budget where the paying account is known. */
export class Billing extends pulumi.ComponentResource {
  constructor(name: string, settings: SharedSettings, options?: pulumi.ComponentResourceOptions) {
    super("agents:observe:Billing", name, {}, options)
    const parent = { parent: this }
    new gcp.bigquery.Dataset(
      `${name}-export`,
      {
        project: names.deliveryProject,
        datasetId: names.billingDataset,
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

/** Tokens by tenant, day and model: copied each night, and joined with the bill once its export is on. */
export class TokenUsage extends pulumi.ComponentResource {
  constructor(
    name: string,
    args: {
      readonly environment: names.Environment
      readonly connection: pulumi.Output<string>
      /** The table of Google's export. Not known before it was switched on: a view over what is not there can't be made. */
      readonly billingTable: string | undefined
    },
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
    const account = new gcp.serviceaccount.Account(
      `${name}-usage`,
      { project, accountId: names.usageAccount, displayName: "Copies token usage into BigQuery each night" },
      parent
    )
    const rights = [
      new gcp.projects.IAMMember(
        `${name}-usage-asks`,
        { project, role: "roles/bigquery.jobUser", member: account.member },
        parent
      ),
      new gcp.projects.IAMMember(
        `${name}-usage-connects`,
        { project, role: "roles/bigquery.connectionUser", member: account.member },
        parent
      ),
      new gcp.bigquery.DatasetIamMember(
        `${name}-usage-writes`,
        { project, datasetId: dataset.datasetId, role: "roles/bigquery.dataEditor", member: account.member },
        parent
      )
    ]
    const table = new gcp.bigquery.Table(
      `${name}-token-usage`,
      {
        project,
        datasetId: dataset.datasetId,
        tableId: "token_usage",
        // Written anew each night: what a deleted tenant used goes with the tenant.
        deletionProtection: false,
        description: "Tokens and their price by tenant, day and model",
        labels,
        schema: JSON.stringify(
          [
            ["tenant_id", "STRING"],
            ["day", "DATE"],
            ["model", "STRING"],
            ["input_tokens", "INTEGER"],
            ["output_tokens", "INTEGER"],
            ["usd", "BIGNUMERIC"]
          ].map(([field, type]) => ({ name: field, type }))
        )
      },
      parent
    )
    new gcp.bigquery.DataTransferConfig(
      `${name}-usage-nightly`,
      {
        project,
        location: names.region,
        displayName: "Token usage, each night",
        dataSourceId: "scheduled_query",
        schedule: "every day 02:00",
        serviceAccountName: account.email,
        destinationDatasetId: dataset.datasetId,
        params: {
          destination_table_name_template: table.tableId,
          write_disposition: "WRITE_TRUNCATE",
          query: pulumi.interpolate`select * replace (cast(usd as bignumeric) as usd) from external_query("${args.connection}", """${usageByDay}""")`
        }
      },
      { ...parent, dependsOn: rights }
    )
    if (args.billingTable !== undefined) {
      const billing = billingByDay(`${names.deliveryProject}.${names.billingDataset}.${args.billingTable}`, project)
      new gcp.bigquery.Table(
        `${name}-by-tenant`,
        {
          project,
          datasetId: dataset.datasetId,
          tableId: "by_tenant",
          deletionProtection: false,
          description: "A day's bill by tenant: models by their prices, the rest by share of tokens",
          labels,
          view: {
            useLegacySql: false,
            query: pulumi.interpolate`${shareOut(billing, `\`${project}.agents_costs.token_usage\``)}`
          }
        },
        { ...parent, dependsOn: [table] }
      )
    }
    this.registerOutputs({})
  }
}
