// The appointments of a clinic. Which route is which action on which object is what policies/clinic/bindings.yaml says to the mesh.
import { fastify } from 'fastify';
import { createGuard, fastifyGuard } from './guard.mjs';

const about = (action, id) => ({ action: { name: action }, resource: { type: 'Appointment', id } });
const appointmentOf = (action) => (request) => about(action, request.params.appointmentId);
/** A schedule is known by its doctor alone, and nobody else could say whose it is. */
const scheduleOf = ({ params: { doctorId } }) => ({
  action: { name: 'create' },
  resource: { type: 'Schedule', id: doctorId, properties: { doctor: doctorId } },
});

/** Makes the application. `appointments`: by id; `pdp`: a client of the decision point. */
export function createClinicApp({ pdp, appointments, report }) {
  const app = fastify();
  const guard = createGuard(pdp, report);
  const only = (questionOf) => ({ onRequest: fastifyGuard(guard, questionOf) });

  app.get('/appointments', async (request, reply) => {
    const { refusal, allowed } = await guard.filter(
      request.headers.authorization,
      [...appointments.values()],
      ({ id }) => about('view', id),
    );
    if (refusal) return reply.code(refusal.status).headers(refusal.headers).send(refusal.body);
    return { appointments: allowed };
  });

  app.get('/appointments/:appointmentId', only(appointmentOf('view')), async ({ params }, reply) => {
    return appointments.get(params.appointmentId) ?? reply.callNotFound();
  });

  const edit = async ({ params, body }, reply) => {
    const old = appointments.get(params.appointmentId);
    if (!old) return reply.callNotFound();
    const changed = { ...old, at: String(body?.at ?? old.at) };
    appointments.set(old.id, changed);
    return changed;
  };
  app.put('/appointments/:appointmentId', only(appointmentOf('edit')), edit);
  app.patch('/appointments/:appointmentId', only(appointmentOf('edit')), edit);

  app.post('/doctors/:doctorId/appointments', only(scheduleOf), async ({ params, body }, reply) => {
    const id = crypto.randomUUID();
    const made = {
      id,
      doctor: params.doctorId,
      at: String(body?.at ?? ''),
      patient: String(body?.patient ?? ''),
    };
    appointments.set(id, made);
    return reply.code(201).send(made);
  });

  return app;
}
