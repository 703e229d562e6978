/** The suite of behaviours on the cluster of kubectl's context. */
import { behaviours } from "../drivers/behaviours.ts"
import { openCluster } from "./support.ts"

const image = process.env["CLUSTER_IMAGE"] ?? ""

behaviours({
  open: openCluster,
  image,
  // The same registry, so that it answers; a digest that nothing has.
  missingImage: `${image.split("@")[0]}-missing@sha256:${"0".repeat(64)}`,
  deadlineMs: 90_000,
  impatientMs: 10_000
})
