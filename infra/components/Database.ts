/**
 * Postgres 16 on Cloud SQL: private, encrypted with a key of ours, recoverable to any second of the last week.
 *
 * COST: the larger part of an environment's 300 to 500 USD a month. It runs, and costs, also when nobody uses it; REGIONAL doubles
 * it, a replica adds as much again.
 */
import { randomBytes } from "node:crypto"
import * as gcp from "@pulumi/gcp"
import * as pulumi from "@pulumi/pulumi"
import { connectionPlan } from "../budget.ts"
import * as names from "../names.ts"
import type { EnvironmentSettings } from "../settings.ts"

export interface Login {
  readonly role: names.DatabaseRole
  readonly password: pulumi.Output<string>
}

export interface DatabaseArgs {
  readonly environment: names.Environment
  readonly settings: EnvironmentSettings
  readonly network: pulumi.Output<string>
  /** The peering to Google's services: a private address can't be had before. */
  readonly peering: pulumi.Output<string>
  readonly key: pulumi.Output<string>
  /** Of the replica's region. */
  readonly replicaKey: pulumi.Output<string>
}

/** Flags with what speaks for each. */
const flags = (tier: string): ReadonlyArray<readonly [string, string]> => [
  ["max_connections", String(connectionPlan(tier).maxConnections)],
  // People sign in as themselves (`gcloud sql connect`, IAM), not with a shared password.
  ["cloudsql.iam_authentication", "on"],
  // A frozen client holds its advisory locks, and shards with them: the server notices within 11 s and lets go.
  ["tcp_keepalives_idle", "5"],
  ["tcp_keepalives_interval", "2"],
  ["tcp_keepalives_count", "3"],
  // A transaction that was left open keeps vacuum from its work; ours take milliseconds.
  ["idle_in_transaction_session_timeout", "60000"],
  // Each runner locks up to 600 shards in one session, and a partitioned table takes one lock per partition.
  ["max_locks_per_transaction", "256"],
  ["log_lock_waits", "on"],
  ["deadlock_timeout", "1000"],
  ["log_min_duration_statement", "1000"],
  ["log_checkpoints", "on"],
  ["log_temp_files", "0"]
]

export class Database extends pulumi.ComponentResource {
  readonly host: pulumi.Output<string>
  readonly instance: pulumi.Output<string>
  readonly connection: pulumi.Output<string>
  readonly logins: ReadonlyArray<Login>

  constructor(name: string, args: DatabaseArgs, options?: pulumi.ComponentResourceOptions) {
    super("agents:platform:Database", name, {}, options)
    const parent = { parent: this }
    const project = names.environmentProject(args.environment)
    const { database, operators, protect } = args.settings
    const common = {
      // Enterprise, spelled out: the newer default edition does not know this tier.
      edition: "ENTERPRISE",
      tier: database.tier,
      diskType: "PD_SSD",
      diskAutoresize: true,
      deletionProtectionEnabled: protect,
      ipConfiguration: {
        ipv4Enabled: false,
        // An output of the peering's own: the order of creation is told by the data.
        privateNetwork: pulumi.all([args.network, args.peering]).apply(([network]) => network),
        enablePrivatePathForGoogleCloudServices: true,
        sslMode: "ENCRYPTED_ONLY"
      },
      databaseFlags: flags(database.tier).map(([flag, value]) => ({ name: flag, value })),
      insightsConfig: {
        queryInsightsEnabled: true,
        queryPlansPerMinute: 5,
        queryStringLength: 1_024,
        recordApplicationTags: true,
        // Addresses of pods say nothing, those of people are nobody's business.
        recordClientAddress: false
      },
      userLabels: names.labels(args.environment, "database")
    }
    const instance = new gcp.sql.DatabaseInstance(
      `${name}-instance`,
      {
        project,
        name: names.databaseInstance,
        region: names.region,
        databaseVersion: "POSTGRES_16",
        encryptionKeyName: args.key,
        deletionProtection: protect,
        settings: {
          ...common,
          availabilityType: database.availability,
          backupConfiguration: {
            enabled: true,
            startTime: "03:00",
            pointInTimeRecoveryEnabled: true,
            transactionLogRetentionDays: database.recoveryDays,
            backupRetentionSettings: { retainedBackups: database.backups }
          },
          maintenanceWindow: { day: 7, hour: 4, updateTrack: "stable" }
        }
      },
      { ...parent, protect }
    )
    if (database.replica) {
      new gcp.sql.DatabaseInstance(
        `${name}-replica`,
        {
          project,
          name: `${names.databaseInstance}-${names.replicaRegion}`,
          region: names.replicaRegion,
          databaseVersion: "POSTGRES_16",
          masterInstanceName: instance.name,
          encryptionKeyName: args.replicaKey,
          deletionProtection: protect,
          settings: { ...common, availabilityType: "ZONAL" }
        },
        { ...parent, protect }
      )
    }
    new gcp.sql.Database(
      `${name}-database`,
      { project, name: names.database, instance: instance.name },
      { ...parent, protect }
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
    // People, by their own names. What they may read is granted by `infra/logins.sql`.
    new gcp.sql.User(
      `${name}-login-operators`,
      { project, name: operators, instance: instance.name, type: "CLOUD_IAM_GROUP" },
      parent
    )
    new gcp.projects.IAMMember(
      `${name}-operators-sign-in`,
      { project, role: "roles/cloudsql.instanceUser", member: `group:${operators}` },
      parent
    )
    this.host = instance.privateIpAddress
    this.instance = instance.name
    this.connection = instance.connectionName
    this.registerOutputs({})
  }
}
