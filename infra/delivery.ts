/** `clouddeploy/*.yaml`, read by the rehearsal's own reader: a change of those files is a change here. */
import { resolve } from "node:path"
import * as pulumi from "@pulumi/pulumi"
import { Effect, Either } from "effect"
import { type Delivery, readDelivery } from "../src/rehearsal/clouddeploy/DeliveryConfig.ts"

export const repository = resolve(import.meta.dirname, "..")

/** Read before anything is made: a mistake in these files must not leave half a stack behind. */
export const deliveryFiles = async (): Promise<Delivery> => {
  const read = await Effect.runPromise(Effect.either(readDelivery(repository)))
  if (Either.isLeft(read)) throw new pulumi.RunError(read.left.message)
  return read.right
}
