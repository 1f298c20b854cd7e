import { ExtAuthzService } from '../../../../src/api/ext-authz/service.ts';

/** A service whose checks fail where grpc-js serves them, because its streams could not be taken. */
export class OnStreams extends ExtAuthzService {
  override get handlers(): ExtAuthzService['handlers'] {
    const Check = () => {
      throw new Error('grpc-js has served the check: its http2Servers are not where they were');
    };
    return { Check };
  }
}
