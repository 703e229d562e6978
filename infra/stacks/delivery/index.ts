/** The entry point of `pulumi up`. What it returns are the stack's outputs. */
import * as pulumi from "@pulumi/pulumi"
import { program } from "./program.ts"

export default () => program(pulumi.getStack())
