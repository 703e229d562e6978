/** Services, network and keys of one environment; for `shared`, services and the registry. */
import type * as pulumi from "@pulumi/pulumi"
import { Keys } from "../../components/Keys.ts"
import { Network } from "../../components/Network.ts"
import { Registry } from "../../components/Registry.ts"
import { Services } from "../../components/Services.ts"
import * as contracts from "../../contracts.ts"
import * as names from "../../names.ts"
import { readEnvironment, readSettings, SharedSettings } from "../../settings.ts"

export const program = (stack: string): Record<string, pulumi.Output<string>> => {
  if (stack === names.shared) {
    readSettings(SharedSettings, stack)
    const services = new Services(stack, { project: names.deliveryProject, kind: "delivery" })
    new Registry("registry", {}, { dependsOn: [...services.all] })
    return {}
  }
  readEnvironment(stack)
  const services = new Services(stack, { project: names.environmentProject(stack), kind: "environment" })
  const after = { dependsOn: [...services.all] }
  const network = new Network(stack, { environment: stack }, after)
  const keys = new Keys(stack, { environment: stack }, after)
  return contracts.publish(contracts.foundation, {
    network: network.network.id,
    subnet: network.subnet.id,
    edgeSubnet: network.edgeSubnet.id,
    peering: network.peering.id,
    databaseKey: keys.database,
    replicaKey: keys.replica,
    clusterKey: keys.cluster
  })
}
