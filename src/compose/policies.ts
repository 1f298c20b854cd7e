import type { Config } from '../config.ts';
import { readVerifyingKey } from '../pdp/bundle/signature.ts';
import type { Log } from '../pdp/log.ts';
import { PolicyBundle } from '../pdp/policy-bundle.ts';
import { PolicyDirectory } from '../pdp/policy-directory.ts';
import { type PolicyFolders, openFolders, openSignedFolder } from '../pdp/policy-folders.ts';
import { type Activation, PolicySlots, type SlotName } from '../pdp/policy-slots.ts';
import type { PolicyStoreOptions } from '../pdp/policy-store.ts';
import type { Clock, PolicySource } from '../pdp/ports.ts';

/** What policies tell the rest of the process. */
export interface PolicyEvents {
  /** A change of a slot's policies was taken or refused. */
  onReload?(outcome: 'loaded' | 'refused', slot: SlotName): void;
  /** Other policies are in force. */
  onActivated?(activation: Activation): void;
}

type Policies = Config['policies'];
type Choice = Pick<Policies, 'sets' | 'signed_dir' | 'bundle'>;

/**
 * Opens the policy sources of both slots. Throws `InputError` where those of the policy sets are not valid; a candidate that is not valid
 * only waits to be mended, as it would if it had become so later.
 */
export async function openPolicies(
  policies: Policies,
  parts: { readonly clock: Clock; readonly log: Log; readonly events: PolicyEvents },
  stack: AsyncDisposableStack,
): Promise<PolicySlots> {
  const { log, events } = parts;
  const opened: { slots?: PolicySlots } = {};
  const open = async (name: SlotName, choice: Choice): Promise<PolicySource> => {
    const store = {
      clock: parts.clock,
      log: slotLog(log, name),
      onReload(outcome: 'loaded' | 'refused') {
        events.onReload?.(outcome, name);
        opened.slots?.reloaded(name);
      },
    };
    return stack.use(await openSource(name, choice, policies.reload_ms, store));
  };
  const sets = await open('sets', policies);
  const candidate = policies.candidate && (await open('candidate', policies.candidate));
  const slots = new PolicySlots({
    sets,
    ...(candidate && { candidate }),
    stateFile: policies.state_file,
    log,
    onActivated: (activation) => events.onActivated?.(activation),
  });
  opened.slots = slots;
  return slots;
}

async function openSource(
  name: SlotName,
  choice: Choice,
  reloadMs: number,
  store: PolicyStoreOptions,
): Promise<PolicySource> {
  const { bundle } = choice;
  if (!bundle) {
    const startsEmpty = name === 'candidate';
    return new PolicyDirectory({ ...store, folders: foldersOf(choice), reloadMs, startsEmpty });
  }
  const source = new PolicyBundle({
    ...store,
    url: bundle.url,
    cacheFile: bundle.cache_file,
    publicKeys: bundle.public_keys.map(readVerifyingKey),
    pollMs: bundle.poll_ms,
    allowRollback: bundle.allow_rollback,
  });
  await source.start();
  return source;
}

function foldersOf({ sets = [], signed_dir: signed }: Choice): PolicyFolders {
  return signed ? openSignedFolder(signed.dir, signed.public_keys.map(readVerifyingKey)) : openFolders(sets);
}

/** Says which slot an event is about. */
function slotLog(log: Log, slot: SlotName): Log {
  return {
    info: (fields, message) => log.info({ slot, ...fields }, message),
    warn: (fields, message) => log.warn({ slot, ...fields }, message),
    error: (fields, message) => log.error({ slot, ...fields }, message),
  };
}
