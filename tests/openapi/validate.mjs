// The second validator: the whole document against the schema of OpenAPI 3.1, and its references.
import { compileErrors, validate } from "@readme/openapi-parser";

const result = await validate(process.argv[2]);
if (!result.valid) {
  console.error(compileErrors(result));
  process.exit(1);
}
for (const warning of result.warnings) {
  console.error(warning.message);
}
process.exit(result.warnings.length > 0 ? 1 : 0);
