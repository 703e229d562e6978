import { Effect } from "effect"
import { testDriver } from "../support/processes.ts"
import { behaviours } from "./behaviours.ts"

behaviours({
  open: Effect.flatMap(testDriver(), ({ driver }) => driver.open("test")),
  image: "app:good",
  missingImage: "app:missing",
  deadlineMs: 20_000,
  impatientMs: 5_000
})
