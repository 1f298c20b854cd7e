import { mintDemoToken } from '../demo-issuer.ts';
import { InputError } from '../pdp/errors.ts';
import { CONFIG_OPTION, type Command, EXIT, configFor, parseCommandArgs, positionals } from './command.ts';

/** `pdp demo token`: mints a token of the demo issuer; refused outside of demo mode. */
export const demoToken: Command = {
  name: 'demo token',
  usage: '--user NAME [--mfa] [--device ID] [--scope "WORDS"] [--lifetime SECONDS] [--config FILE]',
  summary: 'mint a token of the demo issuer (demo mode only)',
  async run(args, terminal) {
    const { values, positionals: rest } = parseCommandArgs(args, {
      ...CONFIG_OPTION,
      user: { type: 'string' },
      mfa: { type: 'boolean' },
      device: { type: 'string' },
      scope: { type: 'string' },
      lifetime: { type: 'string' },
    });
    positionals(rest);
    const { user, device, scope, lifetime } = values;
    if (user === undefined)
      throw new InputError('bad usage:', [{ where: 'pdp', message: '--user NAME is needed' }]);
    if (lifetime !== undefined && !/^-?\d+$/.test(lifetime))
      throw new InputError('bad usage:', [{ where: '--lifetime', message: 'must be whole seconds' }]);
    const token = await mintDemoToken(configFor(values.config, terminal), {
      user,
      mfa: values.mfa === true,
      ...(device !== undefined && { device }),
      ...(scope !== undefined && { scope }),
      ...(lifetime !== undefined && { lifetimeS: Number(lifetime) }),
    });
    terminal.out(`${token}\n`);
    return EXIT.ok;
  },
};
