/**
 * Postgres 16 on Cloud SQL: highly available, private, recoverable to any second of the last week.
 *
 * COST: the larger part of an environment's 300 to 500 USD a month. It runs, and costs, also when nobody uses it.
 */
import { randomBytes } from "node:crypto"
import * as gcp from "@pulumi/gcp"
import * as pulumi from "@pulumi/pulumi"
import * as names from "../names.ts"
import type { Network } from "./Network.ts"

export interface Login {
  readonly role: names.DatabaseRole
  readonly password: pulumi.Output<string>
}

export class Database extends pulumi.ComponentResource {
  readonly host: pulumi.Output<string>
  readonly logins: ReadonlyArray<Login>

  constructor(
    name: string,
    args: { readonly environment: names.Environment; readonly network: Network; readonly protect: boolean },
    options?: pulumi.ComponentResourceOptions
  ) {
    super("agents:platform:Database", name, {}, options)
    const parent = { parent: this }
    const project = names.environmentProject(args.environment)
    const instance = new gcp.sql.DatabaseInstance(
      `${name}-instance`,
      {
        project,
        name: names.databaseInstance,
        region: names.region,
        databaseVersion: "POSTGRES_16",
        deletionProtection: args.protect,
        settings: {
          // Enterprise, spelled out: the newer default edition does not know this tier.
          edition: "ENTERPRISE",
          tier: "db-custom-2-7680",
          availabilityType: "REGIONAL",
          diskType: "PD_SSD",
          diskAutoresize: true,
          deletionProtectionEnabled: args.protect,
          backupConfiguration: {
            enabled: true,
            startTime: "03:00",
            pointInTimeRecoveryEnabled: true,
            transactionLogRetentionDays: 7,
            backupRetentionSettings: { retainedBackups: 14 }
          },
          ipConfiguration: {
            ipv4Enabled: false,
            privateNetwork: args.network.network.id,
            sslMode: "ENCRYPTED_ONLY"
          },
          // The budget of the pools (manifest gate: connection-budget) is planned against this number.
          databaseFlags: [{ name: "max_connections", value: "200" }],
          insightsConfig: { queryInsightsEnabled: true },
          userLabels: { app: "agents", env: args.environment }
        }
      },
      { ...parent, protect: args.protect, dependsOn: [args.network.peering] }
    )
    new gcp.sql.Database(
      `${name}-database`,
      { project, name: names.database, instance: instance.name },
      { ...parent, protect: args.protect }
    )
    this.logins = names.databaseRoles.map((role) => {
      const user = new gcp.sql.User(
        `${name}-login-${role}`,
        {
          project,
          name: role,
          instance: instance.name,
          password: pulumi.secret(randomBytes(24).toString("base64url"))
        },
        // Drawn at every run, used at the first one: what is in the (encrypted) state stays. Replace the user to rotate.
        { ...parent, ignoreChanges: ["password"], additionalSecretOutputs: ["password"] }
      )
      return { role, password: user.password.apply((password) => password ?? "") }
    })
    this.host = instance.privateIpAddress
    this.registerOutputs({})
  }
}
