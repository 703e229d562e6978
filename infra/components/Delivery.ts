/** The way of a release: pipeline, targets, automations and policies of `clouddeploy/*.yaml`, and who carries them out. */
import * as gcp from "@pulumi/gcp"
import * as pulumi from "@pulumi/pulumi"
import type { DeliveryConfig } from "../../src/rehearsal/clouddeploy/DeliveryConfig.ts"
import { automationInput, pipelineInput, policyInput, targetInput } from "../clouddeploy.ts"
import * as names from "../names.ts"

export class Delivery extends pulumi.ComponentResource {
  /** Who builds images and creates releases, as IAM names it. */
  readonly builder: pulumi.Output<string>

  constructor(name: string, config: DeliveryConfig, options?: pulumi.ComponentResourceOptions) {
    super("agents:delivery:Delivery", name, {}, options)
    const parent = { parent: this }
    const place = { project: names.deliveryProject, location: names.region }

    const deployers = names.environments.map((environment) => {
      const accountId = names.deployerAccount(environment)
      return new gcp.serviceaccount.Account(
        `${name}-deployer-${environment}`,
        { project: names.deliveryProject, accountId, displayName: `Deploys to ${environment}` },
        parent
      )
    })
    const automation = new gcp.serviceaccount.Account(
      `${name}-automation`,
      {
        project: names.deliveryProject,
        accountId: names.automationAccount,
        displayName: "Promotes, advances and repairs rollouts"
      },
      parent
    )
    const builder = new gcp.serviceaccount.Account(
      `${name}-builder`,
      {
        project: names.deliveryProject,
        accountId: names.builderAccount,
        displayName: "Builds images, creates releases"
      },
      parent
    )
    this.builder = builder.member
    // Release sources go here. Without a bucket of our own, gcloud would have to be allowed to create one.
    const sources = new gcp.storage.Bucket(
      `${name}-sources`,
      {
        project: names.deliveryProject,
        name: names.releaseBucket,
        location: names.region,
        uniformBucketLevelAccess: true,
        publicAccessPrevention: "enforced",
        labels: { app: "agents" }
      },
      parent
    )
    new gcp.storage.BucketIAMMember(
      `${name}-builder-sources`,
      { bucket: sources.name, role: "roles/storage.objectUser", member: builder.member },
      parent
    )
    const grant = (key: string, role: string, member: pulumi.Input<string>) =>
      new gcp.projects.IAMMember(`${name}-${key}`, { project: names.deliveryProject, role, member }, parent)

    for (const [i, deployer] of deployers.entries()) {
      const environment = names.environments[i]!
      // Renders and runs jobs. What it may do in the cluster is a Role of the namespace, without Secrets.
      grant(`deployer-${environment}-jobs`, "roles/clouddeploy.jobRunner", deployer.member)
      grant(`deployer-${environment}-logs`, "roles/logging.logWriter", deployer.member)
      // Whoever creates a rollout must be allowed to act as the account that carries it out.
      for (const [who, { member }] of Object.entries({ automation, builder })) {
        new gcp.serviceaccount.IAMMember(
          `${name}-${who}-acts-as-${environment}`,
          { serviceAccountId: deployer.name, role: "roles/iam.serviceAccountUser", member },
          parent
        )
      }
    }
    grant("automation-releaser", "roles/clouddeploy.releaser", automation.member)
    grant("builder-releaser", "roles/clouddeploy.releaser", builder.member)
    grant("builder-logs", "roles/logging.logWriter", builder.member)

    const targets = config.targets.map(
      (target) =>
        new gcp.clouddeploy.Target(
          `${name}-target-${target.metadata.name}`,
          { ...targetInput(target), ...place },
          { ...parent, dependsOn: deployers }
        )
    )
    for (const pipeline of config.pipelines) {
      const made = new gcp.clouddeploy.DeliveryPipeline(
        `${name}-pipeline-${pipeline.metadata.name}`,
        { ...pipelineInput(pipeline), ...place },
        { ...parent, dependsOn: targets }
      )
      for (const rule of config.automations) {
        const input = automationInput(rule)
        if (input.deliveryPipeline !== pipeline.metadata.name) continue
        new gcp.clouddeploy.Automation(
          `${name}-automation-${input.name}`,
          { ...input, ...place },
          { ...parent, dependsOn: [made, automation] }
        )
      }
    }
    for (const policy of config.policies) {
      new gcp.clouddeploy.DeployPolicy(
        `${name}-policy-${policy.metadata.name}`,
        { ...policyInput(policy), ...place },
        { ...parent, dependsOn: targets }
      )
    }
    this.registerOutputs({})
  }
}
