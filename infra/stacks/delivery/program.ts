/** `shared`: pipeline, builders, attestor. An environment: its target, its deployer, and which images it admits. */
import type * as pulumi from "@pulumi/pulumi"
import { Admission } from "../../components/Admission.ts"
import { Attestor } from "../../components/Attestor.ts"
import { Builders } from "../../components/Builders.ts"
import { Deployer } from "../../components/Deployer.ts"
import { DrillRights } from "../../components/DrillRights.ts"
import { Pipeline } from "../../components/Pipeline.ts"
import * as contracts from "../../contracts.ts"
import { deliveryFiles } from "../../delivery.ts"
import * as names from "../../names.ts"
import { readEnvironment, readSettings, SharedSettings } from "../../settings.ts"

export const program = async (stack: string): Promise<Record<string, pulumi.Output<string>>> => {
  const files = await deliveryFiles()
  if (stack === names.shared) {
    const settings = readSettings(SharedSettings, stack)
    const pipeline = new Pipeline("delivery", files)
    const builders = new Builders("build", settings)
    const attestor = new Attestor("attestor", { builder: builders.builder, publicKey: settings.attestorKey })
    return contracts.publish(contracts.deliveryShared, {
      builder: builders.builder,
      automation: pipeline.automation,
      driller: builders.driller,
      attestor: attestor.path,
      drillTrigger: builders.drillTrigger
    })
  }
  const settings = readEnvironment(stack)
  const { attestor, automation, builder, driller } = contracts.read(contracts.deliveryShared, names.shared)
  const deployer = new Deployer(stack, {
    environment: stack,
    target: files.targets.find(({ metadata }) => metadata.name === stack),
    creators: { automation, builder }
  })
  new Admission(`${stack}-admission`, { environment: stack, attestor })
  if (Object.keys(settings.drills).length > 0) new DrillRights(`${stack}-drill`, { environment: stack, driller })
  return contracts.publish(contracts.delivery, { deployer: deployer.account })
}
