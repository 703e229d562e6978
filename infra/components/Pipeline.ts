/** The way of a release, as `clouddeploy/*.yaml` says it: pipeline, automations, policies; and the account that automates. */
import * as gcp from "@pulumi/gcp"
import * as pulumi from "@pulumi/pulumi"
import type { DeliveryConfig } from "../../src/rehearsal/clouddeploy/DeliveryConfig.ts"
import { automationInput, pipelineInput, policyInput } from "../clouddeploy.ts"
import * as names from "../names.ts"

export class Pipeline extends pulumi.ComponentResource {
  /** Who promotes, advances and repairs: an e-mail. */
  readonly automation: pulumi.Output<string>

  constructor(name: string, config: DeliveryConfig, options?: pulumi.ComponentResourceOptions) {
    super("agents:delivery:Pipeline", name, {}, options)
    const parent = { parent: this }
    const project = names.deliveryProject
    const place = { project, location: names.region }
    const automation = new gcp.serviceaccount.Account(
      `${name}-automation`,
      { project, accountId: names.automationAccount, displayName: "Promotes, advances and repairs rollouts" },
      parent
    )
    this.automation = automation.email
    new gcp.projects.IAMMember(
      `${name}-automation-releaser`,
      { project, role: "roles/clouddeploy.releaser", member: automation.member },
      parent
    )
    for (const pipeline of config.pipelines) {
      const made = new gcp.clouddeploy.DeliveryPipeline(
        `${name}-pipeline-${pipeline.metadata.name}`,
        { ...pipelineInput(pipeline), ...place },
        parent
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
        parent
      )
    }
    this.registerOutputs({})
  }
}
