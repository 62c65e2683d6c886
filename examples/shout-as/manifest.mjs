// A transform of the compiler asc: plugin.toml goes into the module as a custom section.
import { readFileSync } from "node:fs";
import { Transform } from "assemblyscript/transform";

export default class Manifest extends Transform {
  afterCompile(module) {
    module.addCustomSection("bridgehost.manifest", readFileSync(new URL("plugin.toml", import.meta.url)));
  }
}
