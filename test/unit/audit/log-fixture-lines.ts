/** A decision line as small as verification accepts. */
export function line(id: string): (index: number) => string {
  return (index) =>
    `{"v":1,"kind":"decision","log":"example.com/pdp/test","index":${index},"decision_id":"${id}","decision":"ALLOW"}`;
}
