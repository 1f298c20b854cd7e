// A backend that believes nobody but cedar-pdp about who is calling. Needs `jose`; docs/onward-identity.md says what each rule is for.
//
//   JWKS_URL=https://pdp.example.com/.well-known/jwks.json ISSUER=https://pdp.example.com \
//   AUDIENCE=spiffe://prod.example.com/ns/ledger/sa/ledger-api PORT=8080 node examples/verify-onward-identity.mjs
import { createServer } from 'node:http';
import { createRemoteJWKSet, jwtVerify } from 'jose';

const { JWKS_URL, ISSUER, AUDIENCE, PORT } = process.env;
const keys = createRemoteJWKSet(new URL(JWKS_URL));
const rules = { issuer: ISSUER, audience: AUDIENCE, typ: 'pdp-identity+jwt', algorithms: ['EdDSA'] };

async function callerOf(request) {
  const token = request.headers['x-pdp-identity'] ?? '';
  const { payload } = await jwtVerify(token, keys, { ...rules, maxTokenAge: 60, clockTolerance: 5 });
  return payload; // sub, user, workload, origin, device, decision_id
}

const server = createServer((request, response) => {
  void callerOf(request).then(
    (caller) => response.end(JSON.stringify(caller)),
    () => response.writeHead(401).end(),
  );
});
server.listen(Number(PORT), '127.0.0.1', () =>
  process.stdout.write(`listening on ${server.address().port}\n`),
);
