import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  endpointProblem,
  findWorkloadApiEndpoint,
  grpcTarget,
} from '../../../../../src/pip/spiffe/workload-api/workload-api-endpoint.ts';

describe('the address of a Workload API endpoint', () => {
  test.each([
    ['unix:///run/spire/agent.sock', 'unix:///run/spire/agent.sock'],
    ['unix:///a', 'unix:///a'],
    ['tcp://127.0.0.1:8000', 'ipv4:127.0.0.1:8000'],
    ['tcp://[::1]:65535', 'ipv6:[::1]:65535'],
  ])('%s is taken', (endpoint, target) => {
    expect(endpointProblem(endpoint)).toBeUndefined();
    expect(grpcTarget(endpoint)).toBe(target);
  });

  test.each([
    ['', 'is neither'],
    ['/run/spire/agent.sock', 'is neither'],
    ['UNIX:///run/agent.sock', 'is neither'],
    ['http://127.0.0.1:8000', 'is neither'],
    ['dns:///agent:8000', 'is neither'],
    ['unix:agent.sock', 'absolute path'],
    ['unix:/run/agent.sock', 'absolute path'],
    ['unix://run/agent.sock', 'and no host'],
    ['unix://', 'and no host'],
    ['unix:///', 'names no socket'],
    ['unix:///run/agent.sock?x=1', 'no query'],
    ['unix:///run/agent.sock#x', 'no fragment'],
    ['unix:///run/agent%2esock', 'no escape'],
    ['unix:///run/agent sock', 'no space'],
    ['unix:///run/agent\0sock', 'no space'],
    ['tcp://agent:8000', 'not a host name'],
    ['tcp://localhost:8000', 'not a host name'],
    ['tcp://127.1:8000', 'not a host name'],
    ['tcp://::1:8000', 'not a host name'],
    ['tcp://[127.0.0.1]:8000', 'not a host name'],
    ['tcp://[fe80::1%eth0]:8000', 'not a host name'],
    ['tcp://127.0.0.1', 'not a host name'],
    ['tcp://:8000', 'not a host name'],
    ['tcp://127.0.0.1:', 'a port'],
    ['tcp://127.0.0.1:0', 'a port'],
    ['tcp://127.0.0.1:65536', 'a port'],
    ['tcp://127.0.0.1:08000', 'a port'],
    ['tcp://127.0.0.1:8000/', 'nothing more'],
    ['tcp://user@127.0.0.1:8000', 'nothing more'],
    ['tcp://127.0.0.1:8000?x', 'nothing more'],
    ['tcp://127.0.0.1:8000#x', 'nothing more'],
  ])('%j is refused', (endpoint, problem) => {
    expect(endpointProblem(endpoint)).toContain(problem);
  });

  test('is judged without an exception, whatever the text', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.string().map((rest) => `unix://${rest}`),
      fc.string().map((rest) => `tcp://${rest}`),
    );
    fc.assert(
      fc.property(text, (endpoint) => {
        const problem = endpointProblem(endpoint);
        if (problem === undefined)
          expect(endpoint).toMatch(/^(unix:\/\/\/[^/?#%\s]?[^?#%\s]*|tcp:\/\/[^/?#@]+:\d+)$/);
      }),
    );
  });
});

describe('the Workload API endpoint is found', () => {
  const environment = { SPIFFE_ENDPOINT_SOCKET: 'unix:///from/environment' };

  test('in the configuration first', () => {
    expect(findWorkloadApiEndpoint('unix:///from/config', environment)).toBe('unix:///from/config');
  });

  test('in SPIFFE_ENDPOINT_SOCKET where nothing is configured', () => {
    expect(findWorkloadApiEndpoint(undefined, environment)).toBe('unix:///from/environment');
  });

  test('nowhere, which is a clear error', () => {
    expect(() => findWorkloadApiEndpoint(undefined, {})).toThrow('SPIFFE_ENDPOINT_SOCKET: is not set');
  });

  test('in neither place where it has the wrong form, which names the place', () => {
    const wrong = { SPIFFE_ENDPOINT_SOCKET: 'tcp://agent:1' };
    expect(() => findWorkloadApiEndpoint(undefined, wrong)).toThrow(
      'SPIFFE_ENDPOINT_SOCKET: must name an IP',
    );
    expect(() => findWorkloadApiEndpoint('agent.sock', environment)).toThrow('endpoint: is neither');
  });
});
