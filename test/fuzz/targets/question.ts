import { decodeMessage, plainQuestion } from '../../../src/api/decision-service/decode.ts';
import { loadDecisionServiceTypes } from '../../../src/api/protos.ts';
import { createQuestionReader } from '../../../src/api/question/question-reader.ts';
import { isRefusal } from '../../../src/pdp/decision.ts';
import { parseSpiffeId } from '../../../src/pip/spiffe/spiffe-id.ts';
import { mutateMessage } from '../engine/mutate-message.ts';
import { type FuzzTarget, must } from '../engine/target.ts';

const { CheckRequest } = loadDecisionServiceTypes();
const RESERVED = /"__(?:entity|extn|expr|proto__)"/;

/** Bytes of the decision service's CheckRequest. */
export function questionTarget(): FuzzTarget {
  const read = createQuestionReader({
    namespace: 'ZeroTrust',
    pipSubjects: new Map(),
    assertionHeader: 'x-device-assertion',
    parseSpiffeId: (text) => {
      const parsed = parseSpiffeId(text);
      return 'invalid' in parsed ? undefined : parsed;
    },
  });
  const fields = {
    tier: { stringValue: 'gold' },
    box: { structValue: { fields: { size: { numberValue: 3 } } } },
    tags: { listValue: { values: [{ boolValue: true }] } },
  };
  const resource = { type: 'Shop::Order', id: '1', properties: { fields } };
  const asked = (parts: object) =>
    CheckRequest.encode({ action: { name: 'view' }, resource, ...parts }).finish();
  return {
    name: 'question',
    promise:
      'Whatever the bytes, they become a question without reserved names, or a refusal; nothing is thrown.',
    covers: [
      'src/api/decision-service/decode.ts',
      'src/api/question/names.ts',
      'src/api/question/question-reader.ts',
      'src/api/struct.ts',
      'src/pdp/external-json.ts',
    ],
    seeds: [
      asked({ subject: { type: 'User', id: 'demo/alice', properties: { fields } }, context: { fields } }),
      asked({ subject: { token: 'a.b.c', deviceAssertion: 'd.e.f' } }),
      asked({
        subject: { type: 'Workload', id: 'spiffe://a/b' },
        action: { name: 'Shop::Action::"view"', properties: { fields } },
      }),
      Buffer.of(),
    ],
    dictionary: [
      '::',
      'Shop::Order',
      'User',
      'Workload',
      'spiffe://a/b',
      '__entity',
      '__extn',
      '__expr',
      '__proto__',
      'constructor',
      '"',
      '\\',
      '\x0a\x00',
      '\x12\x00',
      '\x1a\x00',
      '\x2a\x00',
      '\x11\x00\x00\x00\x00\x00\x00\xf0\x7f',
    ],
    maxBytes: 2048,
    mutate: mutateMessage,
    run(input) {
      const message = decodeMessage(input, CheckRequest);
      if (isRefusal(message)) return message.refusal;
      const question = read(plainQuestion(message));
      if (isRefusal(question)) return (question.detail ?? '').replace(/'[^']*'|\d+/g, '').slice(0, 60);
      const { subject, resource, context } = question;
      const given = JSON.stringify([subject?.properties, resource.properties, context]);
      must(!RESERVED.test(given.replaceAll('\\"', '')), 'a reserved name comes through');
      must(
        /^[A-Za-z_]\w*(?:::[A-Za-z_]\w*)*$/.test(resource.uid.type),
        `the type '${resource.uid.type}' is no name`,
      );
      return subject ? 'accepted' : 'accepted, with a token';
    },
  };
}
