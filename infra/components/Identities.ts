/** Who the processes are to Google: one account per Kubernetes account, which alone may act as it. No keys exist. */
import * as gcp from "@pulumi/gcp"
import * as pulumi from "@pulumi/pulumi"
import * as names from "../names.ts"

/** What each may do in the project. Accounts that are not named here may do nothing: they only sign in. */
const roles: Partial<Record<names.WorkloadAccount, ReadonlyArray<string>>> = {
  "agent-runtime": ["roles/cloudtrace.agent"],
  "agent-gateway": ["roles/cloudtrace.agent"]
}

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
        for (const role of roles[accountId] ?? []) {
          new gcp.projects.IAMMember(
            `${name}-${accountId}-${role.replace(/^roles\//, "").replace(".", "-")}`,
            { project, role, member: account.member },
            parent
          )
        }
        return [accountId, account.email] as const
      })
    )
    // The last hook of a rollout reads what happened in it; who approved stands in the audit log alone.
    const delivery = names.deliveryProject
    const reads = new gcp.projects.IAMCustomRole(
      `${name}-reads-rollouts-role`,
      {
        project: delivery,
        roleId: `agentsReadRollouts_${args.environment}`,
        title: "Read how a rollout went",
        permissions: [
          "clouddeploy.releases.get",
          "clouddeploy.rollouts.get",
          "clouddeploy.jobRuns.list",
          "logging.logEntries.list"
        ]
      },
      parent
    )
    new gcp.projects.IAMMember(
      `${name}-reads-rollouts`,
      {
        project: delivery,
        role: reads.name,
        member: pulumi.interpolate`serviceAccount:${this.emails.get("agent-migrator")!}`
      },
      parent
    )
    this.registerOutputs({})
  }
}
