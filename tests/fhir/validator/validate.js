// Reads a JSON array of resources, and writes for each whether it is valid R4 and what is wrong with it.
// Codes of systems that the validator does not have, ours and IHE's, are warnings of it and are left out.
const { Fhir } = require("fhir");

const judge = new Fhir();
const resources = JSON.parse(require("fs").readFileSync(0, "utf-8"));
const told = resources.map((resource) => {
  const found = judge.validate(resource, { errorOnUnexpected: true });
  return {
    valid: found.valid,
    errors: found.messages
      .filter((each) => each.severity === "error" || each.severity === "fatal")
      .map((each) => `${each.location}: ${each.message}`),
  };
});
process.stdout.write(JSON.stringify(told));
