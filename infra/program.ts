/** What a stack makes. Apart from `index.ts`, so that tests run it under mocks. */
import { join, resolve } from "node:path"
import * as pulumi from "@pulumi/pulumi"
import { Effect } from "effect"
import { readDelivery } from "../src/rehearsal/clouddeploy/DeliveryConfig.ts"
import { Cluster } from "./components/Cluster.ts"
import { Database } from "./components/Database.ts"
import { Delivery } from "./components/Delivery.ts"
import { Identities } from "./components/Identities.ts"
import { Namespace } from "./components/Namespace.ts"
import { Network } from "./components/Network.ts"
import { Registry } from "./components/Registry.ts"
import type { Settings } from "./settings.ts"

const repository = resolve(import.meta.dirname, "..")

export const program = async (settings: Settings): Promise<void> => {
  // Read first: a mistake in the delivery files must not leave half a stack behind.
  const delivery = await Effect.runPromise(Effect.either(readDelivery(repository)))
  if (delivery._tag === "Left") throw new pulumi.RunError(delivery.left.message)

  const { environment, protect } = settings
  const before: Array<pulumi.Resource> = []
  if (settings.delivery) {
    const made = new Delivery("delivery", delivery.right)
    before.push(made, new Registry("registry", { builder: made.builder }))
  }
  const network = new Network(environment, { environment })
  const cluster = new Cluster(environment, { environment, network, protect }, { dependsOn: before })
  const database = new Database(environment, { environment, network, protect })
  const identities = new Identities(environment, { environment, pool: cluster.cluster })
  new Namespace(environment, {
    environment,
    kubeconfig: cluster.kubeconfig,
    database,
    identities,
    folder: join(repository, "k8s", "platform")
  })
}
