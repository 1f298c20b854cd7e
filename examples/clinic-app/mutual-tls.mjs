// A `fetch` over mutual TLS: shows an X.509-SVID, and talks to nobody but one SPIFFE ID.
import { readFileSync } from 'node:fs';
import { Agent, buildConnector, fetch } from 'undici';

/** Files are read for each connection, since certificates rotate. `serverId`: SPIFFE ID of the decision point. */
export function mutualTlsFetch({ certFile, keyFile, bundleFile, serverId }) {
  /** SVIDs name a workload in place of a host: one URI, here without any other name beside it. */
  const checkServerIdentity = (_host, { subjectaltname }) =>
    subjectaltname === `URI:${serverId}` ? undefined : new Error(`the server is not ${serverId}`);
  const connect = (options, callback) => {
    try {
      const [cert, key, ca] = [certFile, keyFile, bundleFile].map((file) => readFileSync(file));
      buildConnector({ cert, key, ca, checkServerIdentity, minVersion: 'TLSv1.2' })(options, callback);
    } catch (error) {
      callback(error, null);
    }
  };
  const dispatcher = new Agent({ connect });
  return (input, init) => fetch(input, { ...init, dispatcher });
}
