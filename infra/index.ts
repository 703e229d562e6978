/** The entry point of `pulumi up`. COST: an environment idles at about 300 to 500 USD a month. */
import { program } from "./program.ts"
import { readSettings } from "./settings.ts"

await program(readSettings())
