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
  readonly cluster: pulumi.Output<string>

  constructor(
    name: string,
    args: { readonly environment: names.Environment },
    options?: pulumi.ComponentResourceOptions
  ) {
    super("agents:foundation:Keys", name, {}, options)
    const parent = { parent: this }
    const project = names.environmentProject(args.environment)
    const ring = new gcp.kms.KeyRing(`${name}-keys`, { project, name: "agents", location: names.region }, parent)
    const key = (use: keyof typeof users) => {
      const made = new gcp.kms.CryptoKey(
        `${name}-key-${use}`,
        {
          name: use,
          keyRing: ring.id,
          rotationPeriod: `${90 * 86_400}s`,
          labels: names.labels(args.environment, "keys")
        },
        // Without the key the data is lost: never deleted by a stack, in no environment.
        { ...parent, protect: true }
      )
      const account = new gcp.projects.ServiceIdentity(
        `${name}-key-${use}-account`,
        { project, service: users[use] },
        parent
      )
      const grant = new gcp.kms.CryptoKeyIAMMember(
        `${name}-key-${use}-use`,
        { cryptoKeyId: made.id, role: "roles/cloudkms.cryptoKeyEncrypterDecrypter", member: account.member },
        parent
      )
      // The id is told only once it may be used.
      return pulumi.all([made.id, grant.id]).apply(([id]) => id)
    }
    this.database = key("database")
    this.cluster = key("cluster")
    this.registerOutputs({})
  }
}
