/** Who the processes are to Google: one account per Kubernetes account, which alone may act as it. */
import * as gcp from "@pulumi/gcp"
import * as pulumi from "@pulumi/pulumi"
import * as names from "../names.ts"

export class Identities extends pulumi.ComponentResource {
  /** Kubernetes account to the e-mail of its Google account. */
  readonly emails: ReadonlyMap<string, pulumi.Output<string>>

  constructor(
    name: string,
    args: { readonly environment: names.Environment; readonly pool: pulumi.Resource },
    options?: pulumi.ComponentResourceOptions
  ) {
    super("agents:platform:Identities", name, {}, options)
    const parent = { parent: this }
    const project = names.environmentProject(args.environment)
    this.emails = new Map(
      names.workloadAccounts.map((accountId) => {
        const account = new gcp.serviceaccount.Account(
          `${name}-${accountId}`,
          { project, accountId, displayName: `${accountId} of ${args.environment}` },
          parent
        )
        new gcp.serviceaccount.IAMMember(
          `${name}-${accountId}-workload-identity`,
          {
            serviceAccountId: account.name,
            role: "roles/iam.workloadIdentityUser",
            member: names.workloadMember(accountId, args.environment)
          },
          // The identity pool PROJECT.svc.id.goog begins to exist with the project's first cluster.
          { ...parent, dependsOn: [args.pool] }
        )
        return [accountId, account.email] as const
      })
    )
    this.registerOutputs({})
  }
}
