/** BigQuery's way into the database, as the login that may only read: what tenants used, beside the costs. */
import * as gcp from "@pulumi/gcp"
import * as pulumi from "@pulumi/pulumi"
import * as names from "../names.ts"
import type { Database } from "./Database.ts"

export class Analytics extends pulumi.ComponentResource {
  readonly connection: pulumi.Output<string>

  constructor(
    name: string,
    args: { readonly environment: names.Environment; readonly database: Database },
    options?: pulumi.ComponentResourceOptions
  ) {
    super("agents:platform:Analytics", name, {}, options)
    const parent = { parent: this }
    const project = names.environmentProject(args.environment)
    const reader = args.database.logins.find(({ role }) => role === "reader")!
    const connection = new gcp.bigquery.Connection(
      `${name}-connection`,
      {
        project,
        connectionId: "agents-database",
        location: names.region,
        description: "Token usage, read only",
        cloudSql: {
          instanceId: args.database.connection,
          database: names.database,
          type: "POSTGRES",
          credential: { username: reader.role, password: reader.password }
        }
      },
      parent
    )
    new gcp.projects.IAMMember(
      `${name}-connects`,
      {
        project,
        role: "roles/cloudsql.client",
        member: connection.cloudSql.apply((sql) => `serviceAccount:${sql?.serviceAccountId ?? ""}`)
      },
      parent
    )
    this.connection = pulumi.interpolate`projects/${project}/locations/${names.region}/connections/${connection.connectionId}`
    this.registerOutputs({})
  }
}
