/**
 * Keys for what an environment stores. Google encrypts everything at rest anyway; with a key of its own, whoever holds the key can
 * end all access to database and cluster secrets at once.
 */
import * as gcp from "@pulumi/gcp"
import * as pulumi from "@pulumi/pulumi"
import * as names from "../names.ts"

/** Google's own accounts that encrypt with a key: of Cloud SQL and of GKE. They exist from the moment they are asked for. */
const users = { database: "sqladmin.googleapis.com", cluster: "container.googleapis.com" } as const

export class Keys extends pulumi.ComponentResource {
  readonly database: pulumi.Output<string>
  /** In the replica's region: Cloud SQL takes no key of another one, and a copy of an encrypted database must have one of its own. */
  readonly replica: pulumi.Output<string>
  readonly cluster: pulumi.Output<string>

  constructor(
    name: string,
    args: { readonly environment: names.Environment },
    options?: pulumi.ComponentResourceOptions
  ) {
    super("agents:foundation:Keys", name, {}, options)
    const parent = { parent: this }
    const project = names.environmentProject(args.environment)
    const ring = (key: string, location: string) =>
      new gcp.kms.KeyRing(`${name}-${key}`, { project, name: "agents", location }, parent)
    const here = ring("keys", names.region)
    const there = ring("replica-keys", names.replicaRegion)
    const identity = (user: keyof typeof users) =>
      new gcp.projects.ServiceIdentity(`${name}-key-${user}-account`, { project, service: users[user] }, parent)
    const accounts = { database: identity("database"), cluster: identity("cluster") }
    const key = (use: string, user: keyof typeof users, keyRing: gcp.kms.KeyRing) => {
      const made = new gcp.kms.CryptoKey(
        `${name}-key-${use}`,
        {
          name: user,
          keyRing: keyRing.id,
          rotationPeriod: `${90 * 86_400}s`,
          labels: names.labels(args.environment, "keys")
        },
        // Without the key the data is lost: never deleted by a stack, in no environment.
        { ...parent, protect: true }
      )
      const grant = new gcp.kms.CryptoKeyIAMMember(
        `${name}-key-${use}-use`,
        { cryptoKeyId: made.id, role: "roles/cloudkms.cryptoKeyEncrypterDecrypter", member: accounts[user].member },
        parent
      )
      // The id is told only once it may be used.
      return pulumi.all([made.id, grant.id]).apply(([id]) => id)
    }
    this.database = key("database", "database", here)
    this.replica = key("database-replica", "database", there)
    this.cluster = key("cluster", "cluster", here)
    this.registerOutputs({})
  }
}
