/**
 * From the delivery files to the inputs of Pulumi's resources. Pure.
 *
 * What the API calls things is one module, read by the same code as the rehearsal; what is left here is Pulumi's own: names beside the
 * bodies, and `daysOfWeek` got an s more.
 */
import type * as gcp from "@pulumi/gcp"
import {
  automationBody,
  automationName,
  pipelineBody,
  policyBody,
  targetBody
} from "../src/rehearsal/clouddeploy/ApiForm.ts"
import type { Automation, DeliveryPipeline, DeployPolicy, Target } from "../src/rehearsal/clouddeploy/Resources.ts"

type Common = "name" | "description" | "labels" | "annotations"

export const pipelineInput = (
  pipeline: DeliveryPipeline
): Pick<gcp.clouddeploy.DeliveryPipelineArgs, Common | "suspended" | "serialPipeline"> => ({
  name: pipeline.metadata.name,
  ...pipelineBody(pipeline)
})

export const targetInput = (
  target: Target
): Pick<gcp.clouddeploy.TargetArgs, Common | "requireApproval" | "gke" | "deployParameters" | "executionConfigs"> => ({
  name: target.metadata.name,
  ...targetBody(target),
  requireApproval: target.requireApproval ?? false
})

export const automationInput = (
  automation: Automation
): Pick<
  gcp.clouddeploy.AutomationArgs,
  Common | "deliveryPipeline" | "suspended" | "serviceAccount" | "selector" | "rules"
> => {
  const { pipeline, name } = automationName(automation)
  return { name, deliveryPipeline: pipeline, ...automationBody(automation) }
}

export const policyInput = (
  policy: DeployPolicy
): Pick<gcp.clouddeploy.DeployPolicyArgs, Common | "suspended" | "selectors" | "rules"> => {
  const { rules, ...body } = policyBody(policy)
  return {
    name: policy.metadata.name,
    ...body,
    rules: rules.map(({ rolloutRestriction: { timeWindows, ...restriction } }) => {
      const { weeklyWindows, ...others } = timeWindows
      const weekly = weeklyWindows?.map(({ daysOfWeek, ...window }) => ({
        ...window,
        ...(daysOfWeek === undefined ? {} : { daysOfWeeks: daysOfWeek })
      }))
      return {
        rolloutRestriction: {
          ...restriction,
          timeWindows: { ...others, ...(weekly === undefined ? {} : { weeklyWindows: weekly }) }
        }
      }
    })
  }
}
