/** A target of the pipeline, and the account that deploys there: what it may do in the cluster is a Role of the namespace. */
import * as gcp from "@pulumi/gcp"
import * as pulumi from "@pulumi/pulumi"
import type { Target } from "../../src/rehearsal/clouddeploy/Resources.ts"
import { targetInput } from "../clouddeploy.ts"
import * as names from "../names.ts"

export class Deployer extends pulumi.ComponentResource {
  /** Its e-mail. */
  readonly account: pulumi.Output<string>

  constructor(
    name: string,
    args: {
      readonly environment: names.Environment
      /** As `clouddeploy/` has it; an environment that is not delivered to has none. */
      readonly target: Target | undefined
      /** E-mails of those who create rollouts: they must be allowed to act as the account that carries them out. */
      readonly creators: Readonly<Record<string, pulumi.Output<string>>>
    },
    options?: pulumi.ComponentResourceOptions
  ) {
    super("agents:delivery:Deployer", name, {}, options)
    const parent = { parent: this }
    const project = names.deliveryProject
    const deployer = new gcp.serviceaccount.Account(
      `${name}-deployer`,
      {
        project,
        accountId: names.deployerAccount(args.environment),
        displayName: `Deploys to ${args.environment}`
      },
      parent
    )
    this.account = deployer.email
    for (const [what, role] of [
      ["jobs", "roles/clouddeploy.jobRunner"],
      ["logs", "roles/logging.logWriter"]
    ] as const) {
      new gcp.projects.IAMMember(`${name}-deployer-${what}`, { project, role, member: deployer.member }, parent)
    }
    for (const [who, email] of Object.entries(args.creators)) {
      new gcp.serviceaccount.IAMMember(
        `${name}-${who}-acts-as-deployer`,
        {
          serviceAccountId: deployer.name,
          role: "roles/iam.serviceAccountUser",
          member: pulumi.interpolate`serviceAccount:${email}`
        },
        parent
      )
    }
    if (args.target !== undefined) {
      new gcp.clouddeploy.Target(
        `${name}-target`,
        { ...targetInput(args.target), project, location: names.region },
        { ...parent, dependsOn: [deployer] }
      )
    }
    this.registerOutputs({})
  }
}
