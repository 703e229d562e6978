/** Which environments there are: one file `Pulumi.NAME.yaml` each. `Pulumi.shared.yaml` is what they have in common. */
import { readdirSync } from "node:fs"

export const environmentsIn = (folder: string): ReadonlyArray<string> =>
  readdirSync(folder)
    .flatMap((file) => /^Pulumi\.([a-z][a-z0-9]*)\.yaml$/.exec(file)?.[1] ?? [])
    .filter((name) => name !== "shared")
    .sort()
