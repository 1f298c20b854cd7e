import { auditDiff } from './audit-diff.ts';
import { auditKey } from './audit-key.ts';
import { auditReplay } from './audit-replay.ts';
import { auditErase } from './audit-erase.ts';
import { auditExport } from './audit-export.ts';
import { auditExplain } from './audit-explain.ts';
import { auditQuery } from './audit-query.ts';
import { auditTail } from './audit-tail.ts';
import { auditVerify } from './audit-verify.ts';
import { check } from './check.ts';
import type { Command } from './command.ts';
import { configCheck, configPrint, configSchema } from './config.ts';
import { demoToken } from './demo.ts';
import { eventsStatus } from './events.ts';
import { grantApprove, grantDeny, grantList, grantRequest, grantRevoke } from './grant.ts';
import { policyDigest, policyValidate } from './policy.ts';
import { policyBind } from './policy-bind.ts';
import { policyKeygen, policyPack, policySign } from './policy-bundle.ts';
import { policyFmt } from './policy-fmt.ts';
import { policyPromote, policyRollback, policyShadow } from './policy-rollout.ts';
import { policyTest } from './policy-test.ts';
import { revoke } from './revoke.ts';
import { serve } from './serve.ts';

/** Every verb, in the order of the usage text. */
export const commands: readonly Command[] = [
  serve,
  check,
  policyValidate,
  policyTest,
  policyFmt,
  policyDigest,
  policyBind,
  policyKeygen,
  policyPack,
  policySign,
  policyShadow,
  policyPromote,
  policyRollback,
  grantRequest,
  grantApprove,
  grantDeny,
  grantRevoke,
  grantList,
  revoke,
  eventsStatus,
  auditVerify,
  auditQuery,
  auditTail,
  auditExplain,
  auditExport,
  auditErase,
  auditReplay,
  auditDiff,
  auditKey,
  configCheck,
  configPrint,
  configSchema,
  demoToken,
];
