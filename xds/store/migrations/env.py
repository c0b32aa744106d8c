"""Runs the migrations on the connection that `Database.migrate` hands over, inside its transaction."""

from alembic import context

from xds.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    render_as_batch=True,
)
context.run_migrations()
